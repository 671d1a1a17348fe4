#!/usr/bin/env bash
# Runs GLUE tasks through the pipeline: records, teacher, student, the student's int8 file, and the evaluation
# of all three; prints one table at the end.
#
#   bash scripts/run_glue.sh --pretrained models/minilm
#     --tasks SST-2,RTE        tasks to run, in this order (default: all nine)
#     --data_dir DIR           contains a folder per task, as written by download (default: data)
#     --pretrained DIR         initial weights of the teachers: a BERT in Hugging Face's layout
#     --general_student DIR    initial weights of the students (default: half of the teacher's layers, or
#                              random weights where --distill names a preset or sizes)
#     --output_dir DIR         DIR/TASK/records, teacher, student, int8, evaluation and log.txt; the table is
#                              DIR/table.md (default: output/glue)
#     --int8 export|q8bert     calibrate on training rows (default), or run quantization-aware training first
#     --submission MODEL       write GLUE's submission files of teacher, student or int8 to DIR/submission
#     --prepare "FLAGS"        additional flags of a stage, without spaces inside values; they override the
#                              recipe. Likewise --finetune, --distill, --q8bert, --export, --evaluate
#     --dry_run                print the commands without running them
#   PYTHON=...                 interpreter (default: the project's .venv, else python3)
#
# Epochs and learning rates are those of each task's recipe (src/tasks.py). Rerunning skips completed stages
# and resumes interrupted ones. A task that fails does not stop the others; the exit code is then 1.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/interpreter.sh
source "$root/scripts/interpreter.sh"

readonly KNOWN="CoLA SST-2 MRPC STS-B QQP MNLI QNLI RTE WNLI sample"

tasks="CoLA,SST-2,MRPC,STS-B,QQP,MNLI,QNLI,RTE,WNLI"
data_dir=data
pretrained="<unset>"
general_student=""
output_dir=output/glue
int8="export"
submission=""
dry_run=false
declare -A extra_flags=()  # stage -> its additional flags
names=()                   # tasks to run, as spelled in src/tasks.py
failed=()

usage() {
    sed -n '2,/^set /{/^#/!d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
}

read_arguments() {
    while (($#)); do
        case $1 in
            --dry_run) dry_run=true ;;
            --resume) ;;  # the default; accepted because interrupted stages print it
            -h | --help) usage; exit ;;
            --tasks | --data_dir | --pretrained | --general_student | --output_dir | --int8 | --submission)
                [[ $# -ge 2 ]] || die "$1 needs a value"
                printf -v "${1#--}" '%s' "$2"
                shift
                ;;
            --prepare | --finetune | --distill | --q8bert | --export | --evaluate)
                [[ $# -ge 2 ]] || die "$1 needs a value: the flags of that stage, in quotes"
                extra_flags[${1#--}]=$2
                shift
                ;;
            *) die "unknown flag $1 (--help lists the flags)" ;;
        esac
        shift
    done
    [[ $int8 =~ ^(export|q8bert)$ ]] || die "--int8 $int8 is neither export nor q8bert"
    [[ $submission =~ ^(|teacher|student|int8)$ ]] ||
        die "--submission $submission is not one of teacher, student, int8"
    read_tasks
    $dry_run || check_folders
}

# Sets `names`: the tasks as spelled in src/tasks.py, ignoring case, hyphens and underscores.
read_tasks() {
    local given name found
    for given in ${tasks//,/ }; do
        found=""
        for name in $KNOWN; do
            [[ $(key_of "$given") != "$(key_of "$name")" ]] || found=$name
        done
        [[ -n $found ]] || die "--tasks: '$given' is not one of ${KNOWN// /, }"
        names+=("$found")
    done
    ((${#names[@]})) || die "--tasks names no task; there are ${KNOWN// /, }"
}

key_of() {  # NAME
    local name=${1,,}
    printf '%s' "${name//[-_]/}"
}

check_folders() {
    [[ $pretrained != "<unset>" ]] || die "--pretrained is required: the folder of a pretrained BERT"
    [[ -d $pretrained ]] || die "--pretrained $pretrained is not a folder"
    [[ -z $general_student || -d $general_student ]] ||
        die "--general_student $general_student is not a folder"
    [[ " ${names[*]} " == " sample " || -d $data_dir ]] || die "--data_dir $data_dir is not a folder"
    [[ -z $submission ]] || check_tests
}

# Submissions need the test files; without them the run would only fail at the end.
check_tests() {
    local name
    for name in "${names[@]}"; do
        compgen -G "$data_dir/$name/test*" >/dev/null ||
            die "--submission needs the task's test file, and $data_dir/$name has none"
    done
}

# Runs one stage of the task with --output_dir FOLDER, unless it is already complete.
stage() {  # NAME FOLDER COMMAND...
    local name=$1 folder=$2 mark=$place/.$1.done line status=0
    local -a words
    read -ra words <<<"${extra_flags[${name%%_*}]:-}"
    local -a job=("${@:3}" "${words[@]}" --output_dir "$folder")
    printf -v line '%q ' "${job[@]}"
    line=${line% }
    if $dry_run; then
        printf '%s\n' "${line//\\<unset\\>/<unset>}"
        return
    fi
    if ! $rerun && [[ -d $folder && -f $mark ]]; then
        if [[ $(<"$mark") == "$line" ]]; then
            passed+=("$mark")
            printf '== %s, %s: already complete, skipped\n' "$task" "$name"
            return
        elif [[ $name != evaluate_* ]]; then
            printf 'error: %s, %s is complete with other flags (%s); delete %s, or pass another %s\n' \
                "$task" "$name" "$mark" "$folder" --output_dir >&2
            return 2
        fi
    fi
    prepare_rerun "$name" "$folder" || return
    invalidate_later_stages
    printf '\n== %s, %s\n$ %s\n' "$task" "$name" "$line ${again[*]}" | tee -a "$place/log.txt"
    trap : INT  # Ctrl+C is handled by the stage: it saves its state and exits 130
    "${job[@]}" "${again[@]}" 2>&1 | tee -ia "$place/log.txt" || status=$?
    trap - INT
    ((status != 130)) || exit 130
    ((status == 0)) || return "$status"
    rerun=true
    passed+=("$mark")
    printf '%s\n' "$line" >"$mark"
}

# Stages that depend on the one about to run have to run again.
invalidate_later_stages() {
    local mark
    for mark in "$place"/.*.done; do
        [[ " ${passed[*]} " == *" $mark "* ]] || rm -f "$mark"
    done
}

# Sets `again` to the flags for a folder that an earlier call wrote. A folder not written by this script, such
# as your own teacher, is not deleted.
prepare_rerun() {  # NAME FOLDER
    local name=$1 folder=$2
    again=()
    [[ $name != evaluate_* && -d $folder ]] || return 0
    if ! $rerun && compgen -G "$folder/checkpoints/*.safetensors" >/dev/null; then
        again=(--resume)
    elif [[ -n $(ls -A "$folder") ]] && ! grep -qsxF "== $task, $name" "$place/log.txt"; then
        printf 'error: %s, %s would delete %s, which this script did not write; move it, or pass %s\n' \
            "$task" "$name" "$folder" --output_dir >&2
        return 2
    else
        again=(--overwrite_output_dir)
    fi
}

run_task() {
    local records=$place/records model
    local -a data=(--data_dir "$data_dir/$task") labels
    [[ $task != sample ]] || data=()
    labels=(--task_name "$task" --train_data_dir "$records" --eval_data_dir "$records")
    # QQP's own file has a few malformed rows; the table of prepare counts those skipped.
    stage prepare "$records" "$python" -m src.tools.prepare --task_name "$task" "${data[@]}" \
        --vocab_file "$pretrained" --on_bad_row skip || return
    stage finetune "$place/teacher" "$python" -u "$root/run_finetune.py" "${labels[@]}" \
        --load_pretrained_path "$pretrained" || return
    stage distill "$place/student" "$python" -u "$root/run_task_distill.py" "${labels[@]}" \
        --load_teacher_ckpt_path "$place/teacher/best" --load_gd_ckpt_path "$general_student" || return
    make_int8 "$records" || return
    for model in teacher student int8; do
        evaluate_model "$model" "$records" || return
    done
}

# The student's int8 file.
make_int8() {  # RECORDS
    local -a from=(--model_dir "$place/student/best" --calibration_data "$1")
    if [[ $int8 == q8bert ]]; then
        from=(--model_dir "$place/q8bert/best")
        stage q8bert "$place/q8bert" "$python" -u "$root/run_q8bert_train.py" "${labels[@]}" \
            --load_ckpt_path "$place/student/best" --load_teacher_ckpt_path "$place/teacher/best" || return
    fi
    stage export "$place/int8" "$python" -m src.tools.export "${from[@]}" --precision int8 \
        --eval_data_dir "$1"
}

evaluate_model() {  # teacher|student|int8 RECORDS
    local -a predictions=()
    local folder=$place/$1
    [[ $1 == int8 ]] || folder+=/best
    [[ $1 != "$submission" ]] || predictions=(--write_predictions "$output_dir/submission")
    stage "evaluate_$1" "$place/evaluation/$1" "$python" -m src.tools.evaluate --model_dir "$folder" \
        --task_name "$task" --eval_data_dir "$2" "${predictions[@]}"
}

main() {
    local python task place rerun
    local -a again=() passed=()
    read_arguments "$@"
    python=$(find_interpreter)
    RESUME_COMMAND="bash $(printf '%q' "${BASH_SOURCE[0]}") $(printf '%q ' "$@")"
    export RESUME_COMMAND PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
    for task in "${names[@]}"; do
        place=$output_dir/$task rerun=false passed=()
        $dry_run || mkdir -p "$place"
        run_task || failed+=("$task")
    done
    if ((${#failed[@]} < ${#names[@]})); then
        $dry_run || echo
        run_or_print "$python" -m src.tools.glue_table --output_dir "$output_dir"
    fi
    ((${#failed[@]} == 0)) || printf 'failed: %s; see log.txt in their folders\n' "${failed[*]}" >&2
    ((${#failed[@]} == 0)) || exit 1
}

run_or_print() {  # COMMAND...
    if $dry_run; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}

main "$@"
