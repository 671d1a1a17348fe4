#!/usr/bin/env bash
# Phase 2 of task distillation (prediction layer), from a student of phase 1. Edit the defaults or pass flags;
# epochs and learning rate are those of the task.

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
device_target="auto"              # Ascend | GPU | CPU | auto
load_teacher_ckpt_path="<unset>"  # fine-tuned teacher: a directory, or a .ckpt that td_config describes
load_td1_ckpt_path="output/td_phase1/phase1"
train_data_dir="<unset>"          # records: a file, a comma-separated list, or a folder
eval_data_dir="<unset>"
schema_dir=""                     # schema.json; "": the one beside the records
dataset_type="tfrecord"           # tfrecord | mindrecord
output_dir="output/td_phase2"

source "$(dirname "$0")/flags.sh"
launch standalone run_task_distill.py
