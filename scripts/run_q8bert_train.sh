#!/usr/bin/env bash
# Quantization-aware training (Q8BERT). Edit the defaults or pass flags; switches: see launch.sh.
# Output is copied to ./log.txt: grep "epoch\|current result\|best" log.txt

task_name="<unset>"           # SST-2 | QNLI | MNLI | CoLA | QQP | STS-B | RTE | MRPC | WNLI
device_target="auto"          # Ascend | GPU | CPU | auto
device_id=0
do_eval="true"
do_quant="true"               # false: train in float, all else equal
epoch_num=3                   # 0: calibration only (post-training quantization)
load_ckpt_path="<unset>"      # model to quantize: a directory, or a .ckpt that q8bert_config describes
load_teacher_ckpt_path=""     # fine-tuned teacher: the same; "": train on the labels
train_data_dir="<unset>"      # records: a file, a comma-separated list, or a folder
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

source "$(dirname "$0")/flags.sh"
launch standalone run_q8bert_train.py
