#!/usr/bin/env bash
# Augment the training rows of a task by word replacement; rerun to resume. Edit the defaults or pass flags.

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
data_dir="<unset>"                # folder with train.tsv
output_file=""                    # "": data_dir/train_aug.tsv, the train_file for run_prepare.sh
mlm_model="<unset>"               # folder of a BERT with its masked language modeling head; or ""
glove_file=""                     # GloVe text file; "": neighbors from the model's word embeddings
load_teacher_ckpt_path=""         # fine-tuned teacher, for its word embeddings and for --filter_with_teacher
probability=0.4
candidates=15
seed=1
device_target="auto"              # Ascend | GPU | CPU | auto

source "$(dirname "$0")/flags.sh"
if given task_file; then not_needed task_name data_dir; fi  # a custom task
launch standalone -m src.tools.augment
