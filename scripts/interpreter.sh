# Sourced by launch.sh, run_glue.sh and check_gpu.sh, which set root: die, and the choice of interpreter.
# shellcheck shell=bash

# shellcheck source=scripts/die.sh
source "${root:?}/scripts/die.sh"

# Both must be set before Python starts.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} GLOG_v=${GLOG_v:-3}

find_interpreter() {
    local python=${PYTHON:-python3}
    if [[ -z ${PYTHON:-} && -x ${root:?}/.venv/bin/python ]]; then python=$root/.venv/bin/python; fi
    [[ -f $(type -P -- "$python") ]] ||
        die "no such Python: $python; set PYTHON=/path/to/python, or create .venv with scripts/quickstart.sh"
    [[ $python != */* || $python == /* ]] || python=$PWD/$python  # the caller may change the folder
    printf '%s\n' "$python"
}
