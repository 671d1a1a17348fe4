#!/usr/bin/env bash
# Raw text -> record files for general distillation.
# Fill in the variables, then: bash scripts/run_prepare_corpus.sh
# Started again after an interruption it makes the missing shards. Switches as in run_standalone_td.sh.
# shellcheck disable=SC2034,SC2154  # every variable becomes the flag of its name

input="<unset>"                   # text file, folder, glob in quotes, or several with commas between
vocab_file="<unset>"              # vocab.txt, tokenizer.json, or the folder of the model that will read them
output_dir="<unset>"
text_format="auto"                # auto | plain | wikiextractor | json | wikitext
dataset_type="tfrecord"           # tfrecord | mindrecord
max_seq_length=128
masked_lm_prob=0                  # 0.15 as in TinyBERT's first general model
num_shards=8
workers=0                         # processes; 0: one for each core
seed=1

set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
collect_flags "$0" "$@"
launch standalone -m src.tools.prepare_corpus "${flags[@]}" "$@"
