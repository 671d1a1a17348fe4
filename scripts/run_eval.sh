#!/usr/bin/env bash
# Evaluation of a student alone. Fill in the variables, then: bash scripts/run_eval.sh
# Switches as in run_standalone_td.sh.
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
device_target="auto"              # Ascend | GPU | CPU | auto
load_td1_ckpt_path="<unset>"      # the student: a directory, or a .ckpt that td_config describes
eval_data_dir="<unset>"           # records: a file, several with commas between, or a folder
schema_dir=""                     # schema.json; "" takes the one beside the records
dataset_type="tfrecord"           # tfrecord | mindrecord

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
collect_flags "$0" "$@"
launch standalone run_task_distill.py --do_train false --do_eval true "${flags[@]}" "$@"
