#!/usr/bin/env bash
# Phase 1 of task distillation (intermediate layers); run_td_phase2.sh continues from output_dir/phase1.
# Edit the defaults or pass flags; epochs and learning rates are those of the task and the start.

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
device_target="auto"              # Ascend | GPU | CPU | auto
load_teacher_ckpt_path="<unset>"  # fine-tuned teacher: a directory, or a .ckpt that td_config describes
load_gd_ckpt_path="<unset>"       # general student: the same; "": half of the teacher's layers
train_data_dir="<unset>"          # records, augmented ones too: a file, a comma-separated list, or a folder
schema_dir=""                     # schema.json; "": the one beside the records
dataset_type="tfrecord"           # tfrecord | mindrecord
output_dir="output/td_phase1"

source "$(dirname "$0")/flags.sh"
launch standalone run_task_distill.py --td_phase2_epoch_size 0 --do_eval false
