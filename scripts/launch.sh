#!/usr/bin/env bash
# Starts a training script in one process or in several, and returns its exit code.
#
#   bash scripts/launch.sh standalone SCRIPT.py ARGUMENTS...
#   bash scripts/launch.sh standalone -m src.tools.NAME ARGUMENTS...            a tool, with log and switches
#   bash scripts/launch.sh ascend DEVICE_NUM HCCL.json SCRIPT.py ARGUMENTS...   one process a device
#   bash scripts/launch.sh ascend DEVICE_NUM msrun SCRIPT.py ARGUMENTS...       the newer way, without a table
#   bash scripts/launch.sh gpu DEVICE_NUM SCRIPT.py ARGUMENTS...                mpirun and NCCL
#   bash scripts/launch.sh cpu PROCESSES SCRIPT.py ARGUMENTS...                 as ascend with msrun
#     --background   return at once; the pid and the log are printed, the exit code lands in log.txt.exit_code
#     --dry_run      print each process's environment and command, start nothing
#     LOG=FILE       another log than ./log.txt (one process; several write LOG<rank>/log.txt)
#     PYTHON=...     another interpreter than the project's .venv (or python3, where there is none)
#     BIND_CORES=false  Ascend: leave the processes unbound; otherwise each gets an equal share of CORES
#     SERVER_ID=...  which server of a rank table with several this one is
#     MASTER_PORT=N  where the processes meet (default: the first free port from 8118 on)
#     DEVICE_TARGET=CPU  with gpu: try the mpirun way on a machine without GPUs
#
# The run_*.sh scripts stand on top of this one. They pass "<unset>" for what their reader has yet to fill in,
# and name themselves in LAUNCHED_FROM, so that the error can name the line to edit.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
log=${LOG:-log.txt}
# shellcheck source=scripts/interpreter.sh
source "$root/scripts/interpreter.sh"
# shellcheck source=scripts/ranks.sh
source "$root/scripts/ranks.sh"

usage() {
    sed -n '2,/^$/{/^#/!d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
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

# Takes --background and --dry_run out of the arguments; the others are left in `arguments`.
read_switches() {  # ARGUMENTS...
    local word
    for word in "$@"; do
        case $word in
            --background) background=true ;;
            --dry_run) dry_run=true ;;
            *) arguments+=("$word") ;;
        esac
    done
}

# Fills `command` with interpreter, script (one process: or a tool's module) and arguments.
read_command() {  # WORD_BEFORE SCRIPT.py|-m MODULE ARGUMENTS...
    local before=$1 script=${2:-} module=${3:-}
    if [[ $before == standalone && $script == -m ]]; then
        [[ -f $root/${module//.//}.py ]] || die "no such module: $module"
        command=(env "PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}" "$(find_interpreter)" -u -m "${@:3}")
        return
    fi
    [[ $script == *.py ]] || die "expected a SCRIPT.py after $before, found '$script'"
    [[ -f $script ]] || script=$root/$script
    [[ -f $script ]] || die "no such script: $2"
    command=("$(find_interpreter)" -u "$script" "${@:3}")
}

# Adds the jobs of a run of several processes.
plan_ranks() {  # ascend|gpu|cpu ARGUMENTS...
    local way=$1 number=${2:-} table=""
    [[ $number =~ ^[1-9][0-9]*$ ]] || die "expected a number of processes after $way, found '$number'"
    shift 2
    if [[ $way == ascend ]]; then
        table=${1:-}
        [[ $table == msrun || $table == *.json || ($table != *.py && -f $table) ]] ||
            die "expected HCCL.json (or msrun) after $number, found '$table'"
        [[ $table == msrun || -f $table ]] || die "no such rank table: $table"
        shift
    fi
    read_command "$way" "$@"
    command+=(--distribute true --device_num "$number")
    case $way,$table in
        ascend,msrun) plan_cluster Ascend "$number" ;;
        ascend,*) plan_rank_table "$number" "$table" ;;
        gpu,*) plan_mpirun "${DEVICE_TARGET:-GPU}" "$number" ;;
        cpu,*) plan_cluster CPU "$number" ;;
    esac
}

main() {
    local background=false dry_run=false way=${1:-}
    local -a arguments=() command=()
    case $way in
        standalone | ascend | gpu | cpu) read_switches "${@:2}" ;;
        "" | -h | --help) usage; exit ;;
        *) die "unknown way to launch '$way'; there are: standalone, ascend, gpu, cpu" ;;
    esac
    if [[ $way == standalone ]]; then
        read_command standalone "${arguments[@]}"
        add_job "" "${command[@]}"
    else
        plan_ranks "$way" "${arguments[@]}"
    fi
    if $dry_run; then
        print_jobs
        return
    fi
    refuse_unset "${arguments[@]}"
    mkdir -p "$(dirname "$log")"
    RESUME_COMMAND="bash $(printf '%q' "${BASH_SOURCE[0]}") $way $(printf '%q ' "${arguments[@]}")"
    export RESUME_COMMAND  # what an interrupted run tells its user to type, with --resume
    if $background && [[ $way == standalone ]]; then
        in_background "${command[@]}"
    elif $background; then
        in_background bash "${BASH_SOURCE[0]}" "$way" "${arguments[@]}"
    elif [[ $way == standalone ]]; then
        in_foreground "${command[@]}"
    else
        run_jobs
    fi
}

main "$@"
