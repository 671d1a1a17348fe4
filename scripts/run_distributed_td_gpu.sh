#!/usr/bin/env bash
# Task distillation on several GPUs by mpirun and NCCL (SCHEMA.json "": beside the data; STUDENT "": random):
#   run_distributed_td_gpu.sh DEVICE_NUM EPOCH_SIZE TRAIN_DIR EVAL_DIR SCHEMA.json TEACHER STUDENT TASK
# EPOCH_SIZE is that of phase 1. Switches: see launch.sh; DEVICE_TARGET=CPU runs without GPUs.

td_phase2_epoch_size=3
dataset_type="tfrecord"           # tfrecord | mindrecord
do_shuffle="true"
enable_data_sink="auto"           # true | false | auto
data_sink_steps=100
save_ckpt_step=100
max_ckpt_num=1

source "$(dirname "$0")/flags.sh"
take_arguments DEVICE_NUM td_phase1_epoch_size train_data_dir eval_data_dir schema_dir \
    load_teacher_ckpt_path load_gd_ckpt_path task_name
launch gpu "$DEVICE_NUM" run_task_distill.py
