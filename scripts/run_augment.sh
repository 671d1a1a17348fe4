#!/usr/bin/env bash
# More training rows for a task by replacing words. Fill in the variables, then: bash scripts/run_augment.sh
# Started again after an interruption it goes on. Switches as in run_standalone_td.sh.
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI
data_dir="<unset>"                # folder with train.tsv
output_file=""                    # "" is data_dir/train_aug.tsv, which run_prepare.sh takes as train_file
mlm_model="<unset>"               # folder of a BERT with its masked language modelling head; or ""
glove_file=""                     # GloVe text file; "" takes neighbours from the model's own word embeddings
load_teacher_ckpt_path=""         # fine-tuned teacher, for its word embeddings and for --filter_with_teacher
probability=0.4
candidates=15
seed=1
device_target="auto"              # Ascend | GPU | CPU | auto

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
if given task_file "$@"; then  # a task of your own
    not_needed task_name data_dir
fi
collect_flags "$0" "$@"
launch standalone -m src.tools.augment "${flags[@]}" "$@"
