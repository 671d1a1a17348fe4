#!/usr/bin/env bash
# Any training script in several processes on the CPUs of this machine:
#   bash scripts/run_distributed_cpu.sh PROCESSES SCRIPT.py FLAGS...
# The cores are shared out; each rank writes LOG<rank>/log.txt. Switches as in launch.sh.
set -euo pipefail
# shellcheck source=scripts/flags.sh
source "$(dirname "${BASH_SOURCE[0]}")/flags.sh"
take_arguments "processes script" "$@"
# shellcheck disable=SC2154  # set by take_arguments
launch cpu "$processes" "$script" "${rest[@]}"
