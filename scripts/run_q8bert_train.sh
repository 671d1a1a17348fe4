#!/usr/bin/env bash
# Quantization-aware training (Q8BERT). Fill in the variables, then: bash scripts/run_q8bert_train.sh
# --dry_run prints the command, --background returns at once; further arguments are passed on and win over
# the variables. What is printed goes to ./log.txt too: grep "epoch\|current result\|best" log.txt
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

task_name="<unset>"           # SST-2 | QNLI | MNLI | CoLA | QQP | STS-B | RTE | MRPC | WNLI
device_target="auto"          # Ascend | GPU | CPU | auto
device_id=0
do_eval="true"
do_quant="true"               # false trains in float, all else equal
epoch_num=3                   # 0 only sets the ranges: post-training quantization
load_ckpt_path="<unset>"      # model to quantize: a directory, or a .ckpt that q8bert_config describes
load_teacher_ckpt_path=""     # fine-tuned teacher to distil from: the same; "" trains on the labels
train_data_dir="<unset>"      # records: a file, several with commas between, or a folder
eval_data_dir="<unset>"
dataset_type="tfrecord"       # tfrecord | mindrecord
train_batch_size=16
eval_batch_size=32
do_shuffle="true"
enable_data_sink="auto"       # true | false | auto
data_sink_steps=100
save_ckpt_step=100
eval_ckpt_step=100
max_ckpt_num=1
logging_step=100

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
collect_flags "$0" "$@"
launch standalone run_q8bert_train.py "${flags[@]}" "$@"
