#!/usr/bin/env bash
# Task distillation on one device. Edit the defaults or pass flags; --dry_run, --background: see launch.sh.
# Output is copied to ./log.txt: grep "epoch" log.txt; grep "The best" log.txt
#   run_standalone_td.sh [CONFIG.yaml]   with a file of the model zoo's, in place of these defaults

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
device_target="auto"              # Ascend | GPU | CPU | auto
device_id=0
do_train="true"
do_eval="true"                    # with do_train="false": evaluate load_td1_ckpt_path only
td_phase1_epoch_size=10           # recipes in src/tasks.py: SST-2 20, MNLI 10, CoLA 50, ...
td_phase2_epoch_size=3
load_teacher_ckpt_path="<unset>"  # fine-tuned teacher: a directory, or a .ckpt that td_config describes
load_gd_ckpt_path="<unset>"       # general student: the same; "": half of the teacher's layers
load_td1_ckpt_path=""             # student after phase 1: skips phase 1
train_data_dir="<unset>"          # records: a file, a comma-separated list, or a folder
eval_data_dir="<unset>"
schema_dir=""                     # schema.json; "": the one beside the records
dataset_type="tfrecord"           # tfrecord | mindrecord
do_shuffle="true"
enable_data_sink="auto"           # true | false | auto
data_sink_steps=100
save_ckpt_step=100
max_ckpt_num=1

source "$(dirname "$0")/flags.sh"
take_config
if is_false do_train; then not_needed load_teacher_ckpt_path load_gd_ckpt_path train_data_dir; fi
launch standalone run_task_distill.py
