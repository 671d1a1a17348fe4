#!/usr/bin/env bash
# General distillation on several Ascend devices. Fill in the variables, then:
#   bash scripts/run_distributed_gd_ascend.sh DEVICE_NUM EPOCH_SIZE HCCL.json
# "msrun" instead of HCCL.json is the newer way, without a rank table. Each rank writes LOG<rank>/log.txt.
# Further flags and switches as in launch.sh, BIND_CORES=false leaves the processes unbound.
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

student_preset="4L-312"           # 4L-312 | 6L-768 | 4L-384 | 3L-312 | 3L-384
load_teacher_ckpt_path="<unset>"  # pretrained teacher: a directory, or a .ckpt that gd_config describes
data_dir="<unset>"                # records of raw text: a file, several with commas between, or a folder
schema_dir=""                     # schema.json; "" takes the one beside the records
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
take_arguments "device_num epoch_size hccl" "$@"
collect_flags "$0" "${rest[@]}"
launch ascend "$device_num" "$hccl" run_general_distill.py --epoch_size "$epoch_size" "${flags[@]}" \
    "${rest[@]}"
