#!/usr/bin/env bash
# Tokenize raw text into records for general distillation; an interrupted run writes the missing shards.
# Edit the defaults or pass flags.

input="<unset>"                   # text file, folder, quoted glob, or a comma-separated list
vocab_file="<unset>"              # vocab.txt, tokenizer.json, or the folder of the model to train
output_dir="<unset>"
text_format="auto"                # auto | plain | wikiextractor | json | wikitext
dataset_type="tfrecord"           # tfrecord | mindrecord
max_seq_length=128
masked_lm_prob=0                  # 0.15 as in TinyBERT's first general model
num_shards=8
workers=0                         # processes; 0: one per core
seed=1

source "$(dirname "$0")/flags.sh"
launch standalone -m src.tools.prepare_corpus
