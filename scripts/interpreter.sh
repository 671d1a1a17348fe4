# Sourced by launch.sh and run_glue.sh, which set root: error exit and choice of interpreter.
# shellcheck shell=bash

# Both must be set before Python starts.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} GLOG_v=${GLOG_v:-3}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

find_interpreter() {
    if [[ -n ${PYTHON:-} ]]; then
        printf '%s\n' "$PYTHON"
    elif [[ -x ${root:?}/.venv/bin/python ]]; then
        printf '%s\n' "$root/.venv/bin/python"
    else
        printf 'python3\n'
    fi
}
