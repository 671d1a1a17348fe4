#!/usr/bin/env bash
# Task distillation on one device. Fill in the variables, then: bash scripts/run_standalone_td.sh
# --dry_run prints the command, --background returns at once; further arguments are passed on and win over
# the variables. What is printed goes to ./log.txt too: grep "epoch" log.txt; grep "The best" log.txt
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
device_target="auto"              # Ascend | GPU | CPU | auto
device_id=0
do_train="true"
do_eval="true"                    # with do_train="false" it evaluates load_td1_ckpt_path alone
td_phase1_epoch_size=10           # src/tasks.py has a recipe for each task: SST-2 20, MNLI 10, CoLA 50, ...
td_phase2_epoch_size=3
load_teacher_ckpt_path="<unset>"  # fine-tuned teacher: a directory, or a .ckpt that td_config describes
load_gd_ckpt_path="<unset>"       # general student: the same; "" starts from a fresh one
load_td1_ckpt_path=""             # a student that has passed phase 1, to skip it
train_data_dir="<unset>"          # records: a file, several with commas between, or a folder
eval_data_dir="<unset>"
schema_dir=""                     # schema.json; "" takes the one beside the records
dataset_type="tfrecord"           # tfrecord | mindrecord
do_shuffle="true"
enable_data_sink="auto"           # true | false | auto
data_sink_steps=100
save_ckpt_step=100
max_ckpt_num=1

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
given do_train "$@" || value=$do_train
if [[ ${value,,} =~ ^(false|no|off|0)$ ]]; then
    not_needed load_teacher_ckpt_path load_gd_ckpt_path train_data_dir
fi
collect_flags "$0" "$@"
launch standalone run_task_distill.py "${flags[@]}" "$@"
