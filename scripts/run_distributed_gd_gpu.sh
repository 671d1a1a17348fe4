#!/usr/bin/env bash
# General distillation on several GPUs by mpirun and NCCL (SCHEMA.json "": beside the data):
#   run_distributed_gd_gpu.sh DEVICE_NUM EPOCH_SIZE DATA_DIR SCHEMA.json TEACHER
# Switches: see launch.sh; DEVICE_TARGET=CPU runs without GPUs.

student_preset="4L-312"           # 4L-312 | 6L-768 | 4L-384 | 3L-312 | 3L-384
dataset_type="tfrecord"           # tfrecord | mindrecord
do_shuffle="true"
enable_data_sink="auto"           # true | false | auto
data_sink_steps=100
save_checkpoint_step=1000
max_ckpt_num=1
save_ckpt_path=""                 # "": output/general_distill

source "$(dirname "$0")/flags.sh"
take_arguments DEVICE_NUM epoch_size data_dir schema_dir load_teacher_ckpt_path
launch gpu "$DEVICE_NUM" run_general_distill.py
