#!/usr/bin/env bash
# Runs 20 steps of every training stage on a GPU and on the CPU, and compares losses and speed: the first
# thing to run on a machine with a GPU. The models are small, with random weights; nothing is downloaded.
#
#   bash scripts/check_gpu.sh
#     --device_target GPU|Ascend|CPU   the device compared with the CPU (default: GPU)
#     --work_dir DIR                   output folder, which must not exist (default: output/check_gpu)
#     --dry_run                        print the commands without running them
#   PYTHON=...                         interpreter (default: the project's .venv, else python3)
#
# Exit code 0: every stage ran, and its loss differs by at most 5 % from the CPU's. 1: one did not.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/interpreter.sh
source "$root/scripts/interpreter.sh"

readonly STEPS=20 TOLERANCE=0.05 FORMAT='%-18s %10s %10s %10s %14s %14s\n'
# Without dropout, whose draws differ between devices.
readonly TRAINING=(--train_steps "$STEPS" --logging_step "$STEPS" --batch_size 32 --length_buckets off
    --hidden_dropout_prob 0 --attention_probs_dropout_prob 0)
device_target=GPU work_dir=$root/output/check_gpu dry_run=false failed=false

read_arguments() {
    while (($#)); do
        case $1 in
            --dry_run) dry_run=true ;;
            --device_target | --work_dir)
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
    [[ $device_target =~ ^(GPU|Ascend|CPU)$ ]] ||
        die "--device_target $device_target is not GPU, Ascend or CPU"
    [[ ! -e $work_dir ]] || die "--work_dir $work_dir exists; give another folder, or delete it"
    [[ $work_dir == /* ]] || work_dir=$PWD/$work_dir
}

# Runs a command with its output in LOG; shows its end where it fails.
run() {  # LOG COMMAND...
    local log=$1
    shift
    if $dry_run; then
        printf '%q ' "$@"
        echo
        return
    fi
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 || {
        echo "failed: $*; the last lines of $log:"
        tail -n 5 "$log"
        return 1
    }
}

# Pieces of one letter: a vocabulary for any English text.
write_vocabulary() {
    $dry_run || printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' {a..z} '##'{a..z} {0..9} '##'{0..9} \
        . , ';' : '!' '?' "'" '"' - _ '(' ')' '[' ']' '<' '>' / '|' '`' '*' '#' '=' + % '{' '}' '$' '&' '~' \
        >"$work_dir/vocab.txt"
}

prepare() {
    run "$work_dir/prepare.log" "$python" -m src.tools.prepare --task_name sample --max_seq_length 64 \
        --vocab_file "$work_dir/vocab.txt" --output_dir "$work_dir/records"
    run "$work_dir/prepare_corpus.log" "$python" -m src.tools.prepare_corpus --input README.md \
        --text_format plain --max_seq_length 64 --vocab_file "$work_dir/vocab.txt" \
        --output_dir "$work_dir/corpus"
}

# Trains a stage on the device in float16 and on the CPU in float32, and prints a row of the table.
compare() {  # STAGE SCRIPT.py FLAGS...
    local stage=$1
    shift
    run "$work_dir/$stage/device.log" "$python" "$@" "${TRAINING[@]}" --device_target "$device_target" \
        --dtype float16 --compute_type float16 --output_dir "$work_dir/$stage/device" &&
        run "$work_dir/$stage/cpu.log" "$python" "$@" "${TRAINING[@]}" --device_target CPU \
            --output_dir "$work_dir/$stage/cpu" &&
        { $dry_run || print_row "$stage"; } || failed=true
}

print_row() {  # STAGE
    local name values=()
    for name in device cpu; do
        values+=("$(last_value "$1/$name" loss)" "$(last_value "$1/$name" examples_per_second)")
    done
    awk -v a="${values[0]}" -v b="${values[2]}" -v x="${values[1]}" -v y="${values[3]}" -v name="$1" \
        -v tolerance="$TOLERANCE" -v format="$FORMAT" 'BEGIN {
            difference = a > b ? a / b - 1 : 1 - a / b
            printf format, name, sprintf("%.4f", a), sprintf("%.4f", b), \
                sprintf("%.2f %%", 100 * difference), sprintf("%.0f", x), sprintf("%.0f", y)
            exit !(difference <= tolerance)
        }'
}

# A number of the last line of a run's losses.jsonl.
last_value() {  # RUN KEY
    tail -n 1 "$work_dir/$1/losses.jsonl" | sed "s/.*\"$2\": \([-+.e0-9A-Za-z]*\).*/\1/"
}

main() {
    read_arguments "$@"
    python=$(find_interpreter) || exit
    cd "$root"
    $dry_run || mkdir -p "$work_dir"
    write_vocabulary
    prepare
    # shellcheck disable=SC2059
    $dry_run || printf "$FORMAT" stage "$device_target" CPU difference examples/s "examples/s CPU"
    local records=$work_dir/records
    local -a rows=(--task_name sample --train_data_dir "$records" --eval_data_dir "$records")
    local -a sizes=(--hidden_size 256 --num_attention_heads 4 --intermediate_size 1024)
    local -a student=(--num_hidden_layers 2 "${sizes[@]}")
    local teacher=$work_dir/finetune/cpu/last
    compare finetune run_finetune.py "${rows[@]}" --init fresh --num_hidden_layers 4 "${sizes[@]}" \
        --vocab_dir "$work_dir/vocab.txt"
    compare general_distill run_general_distill.py --load_teacher_ckpt_path "$teacher" \
        --data_dir "$work_dir/corpus" --teacher_cache off "${student[@]}"
    compare phase1 run_task_distill.py "${rows[@]}" --load_teacher_ckpt_path "$teacher" \
        --load_gd_ckpt_path "" --td_phase1_epoch_size 1 --td_phase2_epoch_size 0 \
        --teacher_cache off "${student[@]}"
    compare phase2 run_task_distill.py "${rows[@]}" --load_teacher_ckpt_path "$teacher" \
        --load_td1_ckpt_path "$work_dir/phase1/cpu/last" --td_phase2_epoch_size 1 --teacher_cache off
    compare q8bert run_q8bert_train.py "${rows[@]}" --load_ckpt_path "$work_dir/phase1/cpu/last" \
        --load_teacher_ckpt_path "$teacher" --epoch_num 1 --teacher_cache off
    run "$work_dir/evaluate.log" "$python" -m src.tools.evaluate --model_dir "$work_dir/finetune/cpu/last" \
        --eval_data_dir "$records" --task_name sample --device_target "$device_target" || failed=true
    if $failed; then die "a stage failed, or its loss differs; the logs are in $work_dir"; fi
    $dry_run || echo "all stages passed; outputs in $work_dir"
}

main "$@"
