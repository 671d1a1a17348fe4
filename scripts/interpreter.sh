# Sourced by launch.sh and run_glue.sh, which set root: error exit and choice of interpreter.
# shellcheck shell=bash

# Both must be set before Python starts.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} GLOG_v=${GLOG_v:-3}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

find_interpreter() {
    local python=${PYTHON:-python3}
    if [[ -z ${PYTHON:-} && -x ${root:?}/.venv/bin/python ]]; then python=$root/.venv/bin/python; fi
    [[ -f $(type -P -- "$python") ]] ||
        die "no such Python: $python; set PYTHON=/path/to/python, or create .venv with scripts/quickstart.sh"
    [[ $python != */* || $python == /* ]] || python=$PWD/$python  # the caller may change the folder
    printf '%s\n' "$python"
}
