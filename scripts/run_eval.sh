#!/usr/bin/env bash
# Evaluate a student. Edit the defaults or pass flags, or give the arguments of the model zoo's Q8BERT:
#   run_eval.sh TASK_NAME DEVICE_TARGET EVAL_DATA_DIR CKPT

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
device_target="auto"              # Ascend | GPU | CPU | auto
load_td1_ckpt_path="<unset>"      # the student: a directory, or a .ckpt that td_config describes
eval_data_dir="<unset>"           # records: a file, a comma-separated list, or a folder
schema_dir=""                     # schema.json; "": the one beside the records
dataset_type="tfrecord"           # tfrecord | mindrecord

source "$(dirname "$0")/flags.sh"
if positional_given; then
    take_arguments task_name device_target eval_data_dir model_dir
    defaults_apply=false
    launch standalone -m src.tools.evaluate --recipe zoo
fi
launch standalone run_task_distill.py --do_train false --do_eval true
