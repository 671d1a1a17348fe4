#!/usr/bin/env bash
# General distillation on one device. Edit the defaults or pass flags; --dry_run, --background: see launch.sh.
# Output is copied to ./log.txt: grep "epoch" log.txt
#   run_standalone_gd.sh [CONFIG.yaml]   with a file of the model zoo's, in place of these defaults

device_target="auto"              # Ascend | GPU | CPU | auto
device_id=0
epoch_size=3
student_preset="4L-312"           # 4L-312 | 6L-768 | 4L-384 | 3L-312 | 3L-384
load_teacher_ckpt_path="<unset>"  # pretrained teacher: a directory, or a .ckpt that gd_config describes
data_dir="<unset>"                # records of raw text: a file, a comma-separated list, or a folder
schema_dir=""                     # schema.json; "": the one beside the records
dataset_type="tfrecord"           # tfrecord | mindrecord
do_shuffle="true"
enable_data_sink="auto"           # true | false | auto
data_sink_steps=100
save_checkpoint_step=1000
max_ckpt_num=1
save_ckpt_path=""                 # "": output/general_distill

source "$(dirname "$0")/flags.sh"
take_config
launch standalone run_general_distill.py
