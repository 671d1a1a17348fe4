#!/usr/bin/env bash
# Runs a training script in one or more processes and returns its exit code.
#
#   bash scripts/launch.sh standalone SCRIPT.py ARGUMENTS...
#   bash scripts/launch.sh standalone -m src.tools.NAME ARGUMENTS...            a tool
#   bash scripts/launch.sh ascend DEVICE_NUM HCCL.json SCRIPT.py ARGUMENTS...   one process per device
#   bash scripts/launch.sh ascend DEVICE_NUM msrun SCRIPT.py ARGUMENTS...       without a rank table
#   bash scripts/launch.sh gpu DEVICE_NUM SCRIPT.py ARGUMENTS...                mpirun and NCCL
#   bash scripts/launch.sh cpu PROCESSES SCRIPT.py ARGUMENTS...                 like ascend with msrun
#     --background   return immediately; prints pid and log, writes the exit code to log.txt.exit_code
#     --dry_run      print the environment and command of each process without starting any
#     LOG=FILE       log file (default ./log.txt; several processes write LOG<rank>/log.txt)
#     PYTHON=...     interpreter (default: the project's .venv, else python3)
#     BIND_CORES=false  Ascend: do not bind each process to an equal share of the cores
#     SERVER_ID=...  this server's id in a rank table with several servers
#     NODES=N NODE_RANK=K MASTER_ADDR=...  several machines without a rank table: run the same command on
#                    each; DEVICE_NUM and PROCESSES count those of all (NODE_ADDR: this machine's address)
#     HOSTFILE=...   with gpu: the machines for mpirun, which starts the ranks on all of them
#     MASTER_PORT=N  port of the scheduler (default: the first free port from 8118 on, reserved for this run)
#     DEVICE_TARGET=CPU  with gpu: use mpirun on a machine without GPUs
#
# The run_*.sh scripts call this one. They pass "<unset>" for defaults still to be filled in, and their own
# path in LAUNCHED_FROM, so that the error can name the line to edit.
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
    local status=0 job tee out input=/dev/stdin number first_signal=""
    [[ ! -t 0 ]] || input=/dev/null  # a process group in the background may not read from a terminal
    exec {out}> >(trap '' INT TERM HUP; exec tee "$log")
    tee=$!
    set -m  # own process group: a signal arrives once, through the traps; the job saves its state
    "$@" <"$input" >&"$out" 2>&1 {out}>&- &
    job=$!
    exec {out}>&-
    for number in INT TERM HUP; do
        # shellcheck disable=SC2064  # the job's number, now
        trap "first_signal=\${first_signal:-$number}; kill -$number $job 2>/dev/null || true" "$number"
    done
    while kill -0 "$job" 2>/dev/null; do
        status=0
        wait "$job" 2>/dev/null || status=$?
    done
    wait "$tee" || true
    # While a graph runs MindSpore turns SIGINT into SIGTERM.
    [[ $first_signal,$status != INT,143 ]] || status=130
    return "$status"
}

# Runs a job in the background: prints its pid, and writes its exit code to a file at the end.
supervise() {  # COMMAND...
    local status=0
    set -m       # own process group; otherwise bash makes the job ignore SIGINT
    trap '' HUP  # survive closing the terminal
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
    echo "pid $pid, log $log; its exit code will be written to $log.exit_code"
    echo "stop it with: kill -INT $pid"
}

# Parses --background and --dry_run; the other arguments go to `arguments`.
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

# Sets `command` to interpreter, script (standalone: or a tool's module) and arguments.
read_command() {  # WORD_BEFORE SCRIPT.py|-m MODULE ARGUMENTS...
    local before=$1 script=${2:-} module=${3:-}
    if [[ $before == standalone && $script == -m ]]; then
        [[ -f $root/${module//.//}.py ]] || die "no such module: $module"
        command=(env "PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}" "$python" -u -m "${@:3}")
        return
    fi
    [[ $script == *.py ]] || die "expected a SCRIPT.py after $before, found '$script'"
    [[ -f $script ]] || script=$root/$script
    [[ -f $script ]] || die "no such script: $2"
    command=("$python" -u "$script" "${@:3}")
}

# Adds the jobs of a distributed run.
plan_ranks() {  # ascend|gpu|cpu ARGUMENTS...
    local way=$1 number=${2:-} table=""
    [[ $number =~ ^[1-9][0-9]{0,3}$ ]] ||
        die "expected a number of processes from 1 to 9999 after $way, found '$number'"
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

# The variables about other machines that are set, as the beginning of a command line.
machines() {
    local name
    local -a given=()
    for name in NODES NODE_RANK MASTER_ADDR MASTER_PORT NODE_ADDR HOSTFILE SERVER_ID; do
        [[ -z ${!name:-} ]] || given+=("$name=${!name}")
    done
    [[ ${#given[@]} == 0 ]] || printf '%q ' env "${given[@]}"
}

main() {
    local background=false dry_run=false way=${1:-}
    local -a arguments=() command=()
    local python
    case $way in
        standalone | ascend | gpu | cpu) read_switches "${@:2}" ;;
        "" | -h | --help) usage; exit ;;
        *) die "unknown way to launch '$way'; there are: standalone, ascend, gpu, cpu" ;;
    esac
    python=$(find_interpreter) || exit
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
    RESUME_COMMAND="$(machines)bash $(printf '%q' "${BASH_SOURCE[0]}") $way $(printf '%q ' "${arguments[@]}")"
    export RESUME_COMMAND  # printed by an interrupted run, with --resume
    if $background && [[ $way == standalone ]]; then
        in_background "${command[@]}"
    elif $background; then
        release_port  # the launcher in the background reserves one itself
        in_background bash "${BASH_SOURCE[0]}" "$way" "${arguments[@]}"
    elif [[ $way == standalone ]]; then
        in_foreground "${command[@]}"
    else
        run_jobs
    fi
}

main "$@"
