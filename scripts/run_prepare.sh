#!/usr/bin/env bash
# Text files of a task -> record files. Fill in the variables, then: bash scripts/run_prepare.sh
# Switches as in run_standalone_td.sh.
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI | sample
data_dir="<unset>"                # folder with train.tsv, dev.tsv, ...; "" for sample, the built-in task
vocab_file="<unset>"              # vocab.txt, tokenizer.json, or the folder of the model that will read them
output_dir="<unset>"
dataset_type="tfrecord"           # tfrecord | mindrecord
max_seq_length=0                  # 0: the task's own
train_file=""                     # another file for the training rows, such as run_augment.sh's
on_bad_row="error"                # error | skip

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
if given task_file "$@" || given text_columns "$@"; then  # a task of your own
    not_needed task_name data_dir
fi
collect_flags "$0" "$@"
launch standalone -m src.tools.prepare "${flags[@]}" "$@"
