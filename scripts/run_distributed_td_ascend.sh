#!/usr/bin/env bash
# Task distillation on several Ascend devices. Fill in the variables, then:
#   bash scripts/run_distributed_td_ascend.sh DEVICE_NUM EPOCH_SIZE HCCL.json
# EPOCH_SIZE is that of phase 1. "msrun" instead of HCCL.json is the newer way, without a rank table.
# Each rank writes LOG<rank>/log.txt. Further flags and switches as in launch.sh, BIND_CORES=false leaves the
# processes unbound.
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
td_phase2_epoch_size=3
load_teacher_ckpt_path="<unset>"  # fine-tuned teacher: a directory, or a .ckpt that td_config describes
load_gd_ckpt_path="<unset>"       # general student: the same; "" starts from a fresh one
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
take_arguments "device_num epoch_size hccl" "$@"
collect_flags "$0" "${rest[@]}"
launch ascend "$device_num" "$hccl" run_task_distill.py --td_phase1_epoch_size "$epoch_size" "${flags[@]}" \
    "${rest[@]}"
