#!/usr/bin/env bash
# Tokenize the text files of a task into record files. Edit the defaults or pass flags.

task_name="<unset>"               # CoLA | SST-2 | MRPC | STS-B | QQP | MNLI | QNLI | RTE | WNLI | sample
data_dir="<unset>"                # folder with train.tsv, dev.tsv, ...; "" for sample, the built-in task
vocab_file="<unset>"              # vocab.txt, tokenizer.json, or the folder of the model to train
output_dir="<unset>"
dataset_type="tfrecord"           # tfrecord | mindrecord
max_seq_length=""                 # "": the task's
train_file=""                     # other training rows, such as the output of run_augment.sh
on_bad_row="error"                # error | skip

source "$(dirname "$0")/flags.sh"
for name in task_file text_columns output_mode unlabelled_file unlabeled_file; do
    if given "$name"; then not_needed task_name data_dir; fi  # a custom task, or texts without labels alone
done
launch standalone -m src.tools.prepare
