#!/usr/bin/env bash
# Phase 1 of task distillation alone (intermediate layers).
# Fill in the variables, then: bash scripts/run_td_phase1.sh
# Its student, output_dir/phase1, is what run_td_phase2.sh goes on with. Switches as in run_standalone_td.sh.
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
device_target="auto"              # Ascend | GPU | CPU | auto
td_phase1_epoch_size=10
load_teacher_ckpt_path="<unset>"  # fine-tuned teacher: a directory, or a .ckpt that td_config describes
load_gd_ckpt_path="<unset>"       # general student: the same; "" starts from a fresh one
train_data_dir="<unset>"          # records, augmented ones too: a file, several with commas, a folder
schema_dir=""                     # schema.json; "" takes the one beside the records
dataset_type="tfrecord"           # tfrecord | mindrecord
learning_rate="5e-5"
output_dir="output/td_phase1"

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
collect_flags "$0" "$@"
launch standalone run_task_distill.py --td_phase2_epoch_size 0 --do_eval false "${flags[@]}" "$@"
