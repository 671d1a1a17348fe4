#!/usr/bin/env bash
# Starts one training script, tees what it prints to ./log.txt and returns its exit code.
#
#   bash scripts/launch.sh standalone SCRIPT.py ARGUMENTS...
#     --background   return at once; the pid and the log are printed, the exit code lands in log.txt.exit_code
#     --dry_run      print the command, start nothing
#     LOG=FILE       another log than ./log.txt
#     PYTHON=...     another interpreter than the project's .venv (or python3, where there is none)
#
# The run_*.sh scripts stand on top of this one. They pass "<unset>" for what their reader has yet to fill in,
# and name themselves in LAUNCHED_FROM, so that the error can name the line to edit.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
log=${LOG:-log.txt}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

usage() {
    sed -n '2,/^$/{/^#/!d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
}

find_interpreter() {
    if [[ -n ${PYTHON:-} ]]; then
        printf '%s\n' "$PYTHON"
    elif [[ -x $root/.venv/bin/python ]]; then
        printf '%s\n' "$root/.venv/bin/python"
    else
        printf 'python3\n'
    fi
}

# Refuses a flag that is still <unset>.
refuse_unset() {  # ARGUMENTS...
    local flag="" word line
    for word in "$@"; do
        if [[ $word == "<unset>" ]]; then
            line=$(grep -n "^${flag#--}=" "${LAUNCHED_FROM:-/dev/null}" | cut -d: -f1) || true
            die "${flag#--} is unset: edit line ${line:-?} of ${LAUNCHED_FROM:-the calling script}," \
                "or pass $flag VALUE"
        fi
        flag=$word
    done
}

in_foreground() {  # COMMAND...
    local status=0
    trap : INT                              # Ctrl+C is the job's to answer: it saves its state and exits 130
    "$@" 2>&1 | tee -i "$log" || status=$?  # pipefail: the job's code, not tee's
    return "$status"
}

# Runs a job to its end beside its caller: its pid on stdout at once, its exit code in a file at the end.
supervise() {  # COMMAND...
    local status=0
    set -m       # a process group of its own; without it bash has the job ignore SIGINT
    trap '' HUP  # outlives the terminal
    "$@" </dev/null >"$log" 2>&1 &
    echo "$!"
    exec >/dev/null 2>&1
    wait "$!" || status=$?
    echo "$status" >"$log.exit_code.part"
    mv "$log.exit_code.part" "$log.exit_code"
}

in_background() {  # COMMAND...
    local pid
    rm -f "$log.exit_code"
    read -r pid < <(supervise "$@")
    echo "pid $pid, log $log; when it has ended its exit code is in $log.exit_code"
    echo "stop it with: kill -INT $pid"
}

main() {
    local background=false dry_run=false script word
    local -a arguments=()
    case ${1:-} in
        standalone) shift ;;
        "" | -h | --help) usage; exit ;;
        *) die "unknown way to launch '$1'; there is: standalone" ;;
    esac
    for word in "$@"; do
        case $word in
            --background) background=true ;;
            --dry_run) dry_run=true ;;
            *) arguments+=("$word") ;;
        esac
    done
    script=${arguments[0]:-}
    [[ $script == *.py ]] || die "expected a SCRIPT.py after standalone, found '$script'"
    [[ -f $script ]] || script=$root/$script
    [[ -f $script ]] || die "no such script: ${arguments[0]}"
    local -a command=("$(find_interpreter)" -u "$script" "${arguments[@]:1}")

    if $dry_run; then
        printf '%q ' "${command[@]}" | sed 's/\\<unset\\>/<unset>/g'
        echo
    else
        refuse_unset "${arguments[@]}"
        if $background; then in_background "${command[@]}"; else in_foreground "${command[@]}"; fi
    fi
}

main "$@"
