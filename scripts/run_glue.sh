#!/usr/bin/env bash
# GLUE, or a part of it. For each task: records, teacher, student, the student in 8-bit integers, and the
# evaluation of the three; at the end one table.
#
#   bash scripts/run_glue.sh --pretrained models/minilm
#     --tasks SST-2,RTE        which, in this order (default: all nine)
#     --data_dir DIR           holds a folder for each task, as download leaves them (default: data)
#     --pretrained DIR         where the teachers start: a BERT in Hugging Face's layout
#     --general_student DIR    where the students start (default: fresh weights)
#     --output_dir DIR         DIR/TASK/records, teacher, student, int8, evaluation and log.txt; the table is
#                              DIR/table.md (default: output/glue)
#     --int8 export|q8bert     measure the ranges on training rows (default), or train with rounding first
#     --submission MODEL       teacher, student or int8: GLUE's submission files, in DIR/submission
#     --prepare "FLAGS"        further flags of a stage, without blanks inside of a value; they win over the
#                              task's recipe. So do --finetune, --distill, --q8bert, --export, --evaluate
#     --dry_run                print the commands, start nothing
#   PYTHON=...                 another interpreter than the project's .venv
#
# Epochs and learning rates are those of each task's recipe (src/tasks.py). Called again, it skips what has
# ended and goes on with what was interrupted. A task that fails does not keep the others back; the exit code
# is 1 then.
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
declare -A further=()  # stage -> its further flags
names=()               # tasks to do, as src/tasks.py writes them
failed=()

usage() {
    sed -n '2,/^set /{/^#/!d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
}

read_arguments() {
    while (($#)); do
        case $1 in
            --dry_run) dry_run=true ;;
            --resume) ;;  # what happens anyway; an interrupted stage tells its user to type it
            -h | --help) usage; exit ;;
            --tasks | --data_dir | --pretrained | --general_student | --output_dir | --int8 | --submission)
                [[ $# -ge 2 ]] || die "$1 needs a value"
                printf -v "${1#--}" '%s' "$2"
                shift
                ;;
            --prepare | --finetune | --distill | --q8bert | --export | --evaluate)
                [[ $# -ge 2 ]] || die "$1 needs a value: the flags of that stage, in quotes"
                further[${1#--}]=$2
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

# Fills `names`: the tasks as they are written in src/tasks.py, whatever case and hyphens they were given in.
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
    [[ $pretrained != "<unset>" ]] || die "--pretrained is needed, the folder of a BERT to start from"
    [[ -d $pretrained ]] || die "--pretrained $pretrained is not a folder"
    [[ -z $general_student || -d $general_student ]] ||
        die "--general_student $general_student is not a folder"
    [[ " ${names[*]} " == " sample " || -d $data_dir ]] || die "--data_dir $data_dir is not a folder"
    [[ -z $submission ]] || check_tests
}

# A submission answers the test files; without them it would fail when all the rest is done.
check_tests() {
    local name
    for name in "${names[@]}"; do
        compgen -G "$data_dir/$name/test*" >/dev/null ||
            die "--submission needs the task's test file, and $data_dir/$name has none"
    done
}

# Runs one stage of the task, unless it has ended before; its last words are added: --output_dir FOLDER.
stage() {  # NAME FOLDER COMMAND...
    local name=$1 folder=$2 mark=$place/.$1.done wanted status=0
    local -a words
    read -ra words <<<"${further[${name%%_*}]:-}"
    local -a job=("${@:3}" "${words[@]}" --output_dir "$folder")
    printf -v wanted '%q ' "${job[@]}"
    wanted=${wanted% }
    if $dry_run; then
        printf '%s\n' "${wanted//\\<unset\\>/<unset>}"
        return
    fi
    if ! $renewed && [[ -d $folder && -f $mark ]]; then
        if [[ $(<"$mark") == "$wanted" ]]; then
            passed+=("$mark")
            printf '== %s, %s: done before, skipped\n' "$task" "$name"
            return
        elif [[ $name != evaluate_* ]]; then
            printf 'error: %s, %s has ended before with other flags (%s); delete %s, or give another %s\n' \
                "$task" "$name" "$mark" "$folder" --output_dir >&2
            return 2
        fi
    fi
    goes_on "$name" "$folder" || return
    forget_what_follows
    printf '\n== %s, %s\n$ %s\n' "$task" "$name" "$wanted ${again[*]}" | tee -a "$place/log.txt"
    trap : INT  # Ctrl+C is the stage's to answer: it saves its state and exits 130
    "${job[@]}" "${again[@]}" 2>&1 | tee -ia "$place/log.txt" || status=$?
    trap - INT
    ((status != 130)) || exit 130
    ((status == 0)) || return "$status"
    renewed=true
    passed+=("$mark")
    printf '%s\n' "$wanted" >"$mark"
}

# What rests on a stage that is about to run has not ended any more.
forget_what_follows() {
    local mark
    for mark in "$place"/.*.done; do
        [[ " ${passed[*]} " == *" $mark "* ]] || rm -f "$mark"
    done
}

# Fills `again`: what a stage needs whose folder an earlier call has begun. A folder that no call has begun, a
# teacher of your own say, is not deleted.
goes_on() {  # NAME FOLDER
    local name=$1 folder=$2
    again=()
    [[ $name != evaluate_* && -d $folder ]] || return 0
    if ! $renewed && compgen -G "$folder/checkpoints/*.safetensors" >/dev/null; then
        again=(--resume)
    elif [[ -n $(ls -A "$folder") ]] && ! grep -qsxF "== $task, $name" "$place/log.txt"; then
        printf 'error: %s, %s would delete %s, which this script has not made; move it, or give %s\n' \
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
    # A few rows of QQP's own file are broken; the table of prepare counts what is left out.
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

# The student as a file of 8-bit integers.
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
    local -a answers=()
    local folder=$place/$1
    [[ $1 == int8 ]] || folder+=/best
    [[ $1 != "$submission" ]] || answers=(--write_predictions "$output_dir/submission")
    stage "evaluate_$1" "$place/evaluation/$1" "$python" -m src.tools.evaluate --model_dir "$folder" \
        --task_name "$task" --eval_data_dir "$2" "${answers[@]}"
}

main() {
    local python task place renewed
    local -a again=() passed=()
    read_arguments "$@"
    python=$(find_interpreter)
    RESUME_COMMAND="bash $(printf '%q' "${BASH_SOURCE[0]}") $(printf '%q ' "$@")"
    export RESUME_COMMAND PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
    for task in "${names[@]}"; do
        place=$output_dir/$task renewed=false passed=()
        $dry_run || mkdir -p "$place"
        run_task || failed+=("$task")
    done
    if ((${#failed[@]} < ${#names[@]})); then
        $dry_run || echo
        stage_of_all "$python" -m src.tools.glue_table --output_dir "$output_dir"
    fi
    ((${#failed[@]} == 0)) || printf 'failed: %s; see log.txt in their folders\n' "${failed[*]}" >&2
    ((${#failed[@]} == 0)) || exit 1
}

stage_of_all() {  # COMMAND...
    if $dry_run; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}

main "$@"
