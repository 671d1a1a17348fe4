#!/usr/bin/env bash
# One rank of mpirun: bash scripts/rank.sh TARGET COMMAND... Logs to LOG<rank>/log.txt; rank 0 also to stdout.
# Ctrl+C arrives as SIGUSR2, which mpirun forwards to all processes; on SIGINT it would kill them unsaved.
set -euo pipefail

target=$1 rank=${OMPI_COMM_WORLD_RANK:?} meeting=${SCHEDULER:?} scheduler=""
shift

# On a CPU mpirun only starts the processes; they meet at a scheduler that runs without mpirun's variables.
join_cluster() {  # INTERPRETER
    export MS_WORKER_NUM=$OMPI_COMM_WORLD_SIZE MS_SCHED_HOST=${MASTER_ADDR:-127.0.0.1} MS_NODE_ID=$rank
    if ((rank == 0)); then
        local name
        local -a unknown=()
        while read -r name; do unknown+=(-u "$name"); done < <(compgen -e | grep ^OMPI_COMM_WORLD_)
        mkdir -p scheduler
        env "${unknown[@]}" MS_ROLE=MS_SCHED "$1" -c "${meeting/\%s/$target}" >scheduler/log.txt 2>&1 &
        scheduler=$!
    fi
    export MS_ROLE=MS_WORKER
}

# Waits for a process to end, across signals.
await() {  # PID
    local status=0
    while kill -0 "$1" 2>/dev/null; do
        status=0
        wait "$1" || status=$?
    done
    return "$status"
}

mkdir -p "LOG$rank"
if ((rank == 0)); then
    exec > >(trap '' INT TERM USR2; exec tee "LOG$rank/log.txt") 2>&1
else
    exec >"LOG$rank/log.txt" 2>&1
fi
if [[ $target == CPU ]]; then
    join_cluster "$1"
    set -- "$@" --device_id 0
else
    set -- "$@" --device_id "${OMPI_COMM_WORLD_LOCAL_RANK:?}"
fi
trap : USR2 TERM  # handled by the job
"$@" &
job=$!
status=0
await "$job" || status=$?
[[ -z $scheduler ]] || kill "$scheduler" 2>/dev/null || true
exit "$status"
