#!/usr/bin/env bash
# Task distillation on several Ascend devices: run_distributed_td_ascend.sh DEVICE_NUM EPOCH_SIZE HCCL.json
# EPOCH_SIZE is that of phase 1. Pass "msrun" instead of HCCL.json to run without a rank table. See launch.sh.

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
td_phase2_epoch_size=3
load_teacher_ckpt_path="<unset>"  # fine-tuned teacher: a directory, or a .ckpt that td_config describes
load_gd_ckpt_path="<unset>"       # general student: the same; "": half of the teacher's layers
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
take_arguments DEVICE_NUM td_phase1_epoch_size HCCL
launch ascend "$DEVICE_NUM" "$HCCL" run_task_distill.py
