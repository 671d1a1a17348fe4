#!/usr/bin/env bash
# The same short task distillation N times, with seeds 1 to N: mean and spread of speed and metric.
#   bash scripts/repeat_demo.sh REPEATS [--dry_run] [--background] [FLAGS]
# Fill in the variables; further arguments are passed on and win over them. The table is printed at the end
# and in output_dir/seeds.txt; what each run prints goes to ./log.txt too: grep throughput log.txt
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
device_target="auto"              # Ascend | GPU | CPU | auto
train_steps=1000                  # of each phase
load_teacher_ckpt_path="<unset>"  # fine-tuned teacher: a directory, or a .ckpt that td_config describes
load_gd_ckpt_path="<unset>"       # general student: the same; "" starts from a fresh one
train_data_dir="<unset>"          # records: a file, several with commas between, or a folder
eval_data_dir="<unset>"
output_dir="output/repeat_demo"

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
take_arguments "repeats" "$@"
if [[ ! $repeats =~ ^[1-9][0-9]*$ ]]; then
    printf "error: expected a number of runs, found '%s'\n" "$repeats" >&2
    exit 2
fi
collect_flags "$0" "${rest[@]}"
launch standalone run_task_distill.py --seeds "$(seq -s, 1 "$repeats")" "${flags[@]}" "${rest[@]}"
