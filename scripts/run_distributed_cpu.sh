#!/usr/bin/env bash
# Any training script in several processes on CPU cores: run_distributed_cpu.sh PROCESSES SCRIPT.py FLAGS...

source "$(dirname "$0")/flags.sh"
take_arguments PROCESSES SCRIPT
launch cpu "$PROCESSES" "$SCRIPT"
