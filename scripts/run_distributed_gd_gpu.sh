#!/usr/bin/env bash
# General distillation on several GPUs, by mpirun and NCCL:
#   bash scripts/run_distributed_gd_gpu.sh DEVICE_NUM EPOCH_SIZE DATA_DIR SCHEMA.json TEACHER.ckpt
# "" for SCHEMA.json takes the one beside the records; TEACHER may be a directory. Each rank writes
# LOG<rank>/log.txt. Further flags and switches as in launch.sh; DEVICE_TARGET=CPU tries it without GPUs.
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

student_preset="4L-312"           # 4L-312 | 6L-768 | 4L-384 | 3L-312 | 3L-384
dataset_type="tfrecord"           # tfrecord | mindrecord
do_shuffle="true"
enable_data_sink="auto"           # true | false | auto
data_sink_steps=100
save_checkpoint_step=1000
max_ckpt_num=1
save_ckpt_path=""                 # "" is output/general_distill

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
take_arguments "device_num epoch_size data_dir schema_dir teacher" "$@"
collect_flags "$0" "${rest[@]}"
launch gpu "$device_num" run_general_distill.py --epoch_size "$epoch_size" --data_dir "$data_dir" \
    --schema_dir "$schema_dir" --load_teacher_ckpt_path "$teacher" "${flags[@]}" "${rest[@]}"
