#!/usr/bin/env bash
# Task distillation on several GPUs, by mpirun and NCCL:
#   bash scripts/run_distributed_td_gpu.sh \
#       DEVICE_NUM EPOCH_SIZE TRAIN_DIR EVAL_DIR SCHEMA.json TEACHER STUDENT TASK
# EPOCH_SIZE is that of phase 1; "" for SCHEMA.json takes the one beside the records, "" for STUDENT a fresh
# student.
# Each rank writes LOG<rank>/log.txt. Further flags and switches as in launch.sh; DEVICE_TARGET=CPU tries it.
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

td_phase2_epoch_size=3
dataset_type="tfrecord"           # tfrecord | mindrecord
do_shuffle="true"
enable_data_sink="auto"           # true | false | auto
data_sink_steps=100
save_ckpt_step=100
max_ckpt_num=1

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
take_arguments "device_num epoch_size train_dir eval_dir schema_dir teacher student task" "$@"
collect_flags "$0" "${rest[@]}"
launch gpu "$device_num" run_task_distill.py --td_phase1_epoch_size "$epoch_size" \
    --train_data_dir "$train_dir" --eval_data_dir "$eval_dir" --schema_dir "$schema_dir" \
    --load_teacher_ckpt_path "$teacher" --load_gd_ckpt_path "$student" --task_name "$task" \
    "${flags[@]}" "${rest[@]}"
