#!/usr/bin/env bash
# Phase 2 of task distillation alone (prediction layer).
# Fill in the variables, then: bash scripts/run_td_phase2.sh
# It starts from a student of phase 1. Switches as in run_standalone_td.sh.
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
device_target="auto"              # Ascend | GPU | CPU | auto
td_phase2_epoch_size=3
load_teacher_ckpt_path="<unset>"  # fine-tuned teacher: a directory, or a .ckpt that td_config describes
load_td1_ckpt_path="output/td_phase1/phase1"
train_data_dir="<unset>"          # records: a file, several with commas between, or a folder
eval_data_dir="<unset>"
schema_dir=""                     # schema.json; "" takes the one beside the records
dataset_type="tfrecord"           # tfrecord | mindrecord
phase2_learning_rate="3e-5"
output_dir="output/td_phase2"

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
collect_flags "$0" "$@"
launch standalone run_task_distill.py "${flags[@]}" "$@"
