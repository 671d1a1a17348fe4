#!/usr/bin/env bash
# Quantization-aware training (Q8BERT) with the arguments and values of the model zoo's script of this name:
#   run_standalone_train.sh TASK_NAME DEVICE_TARGET TRAIN_DATA_DIR EVAL_DATA_DIR CKPT
# Switches: see launch.sh; run_q8bert_train.sh has this project's defaults.

recipe="zoo"
device_id=0
do_eval="true"
do_quant="true"
epoch_num=3
data_sink_steps=100
save_ckpt_step=100
logging_step=100

source "$(dirname "$0")/flags.sh"
take_arguments task_name device_target train_data_dir eval_data_dir load_ckpt_path
launch standalone run_q8bert_train.py
