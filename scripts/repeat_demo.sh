#!/usr/bin/env bash
# Repeat a short task distillation with seeds 1 to REPEATS: repeat_demo.sh REPEATS [FLAGS]
# Prints mean and spread of speed and metric (also in output_dir/seeds.txt); grep throughput log.txt

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
device_target="auto"              # Ascend | GPU | CPU | auto
train_steps=1000                  # of each phase
load_teacher_ckpt_path="<unset>"  # fine-tuned teacher: a directory, or a .ckpt that td_config describes
load_gd_ckpt_path="<unset>"       # general student: the same; "": half of the teacher's layers
train_data_dir="<unset>"          # records: a file, a comma-separated list, or a folder
eval_data_dir="<unset>"
output_dir="output/repeat_demo"

source "$(dirname "$0")/flags.sh"
take_arguments REPEATS
if [[ ! $REPEATS =~ ^[1-9][0-9]*$ ]]; then
    printf "error: expected a number of runs, found '%s'\n" "$REPEATS" >&2
    exit 2
fi
launch standalone run_task_distill.py --seeds "$(seq -s, 1 "$REPEATS")"
