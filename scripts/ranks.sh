# Sourced by launch.sh: the processes of a distributed run, planned, printed, started and watched.
# shellcheck shell=bash disable=SC2154  # root, command and the like are launch.sh's

readonly GRACE=10  # seconds after which a process that waits for a dead one is killed
readonly SHOWN=15  # lines of a failed process's log
# Where the workers of a dynamic cluster meet; it holds no device, trains nothing and ends with them.
SCHEDULER="import mindspore; mindspore.set_device('%s'); "
SCHEDULER+="mindspore.communication.init()"
export SCHEDULER

folders=()  # where each job logs; LOG<rank> for those that train
jobs=()     # its command line, quoted
notes=()    # what print_jobs adds

add_job() {  # FOLDER COMMAND...
    folders+=("$1")
    shift
    jobs+=("$(printf '%q ' "$@")")
}

print_jobs() {
    local i
    for i in "${!jobs[@]}"; do
        printf '%s%s\n' "${folders[i]:+${folders[i]}/log.txt: }" "${jobs[i]% }"
    done | sed 's/\\<unset\\>/<unset>/g'
    ((!${#notes[@]})) || printf '%s\n' "${notes[@]}"
}

# Ascend with a rank table: one process a device of this server.
plan_rank_table() {  # DEVICE_NUM HCCL.json
    local number=$1 table rank device places
    local -a bound
    table=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
    places=$(PYTHONPATH=$root "${command[0]}" -m src.tools.rank_table --rank_table "$table" \
        --device_num "$number" --server_id "${SERVER_ID:-}") || exit
    while read -r rank device; do
        bind_cores "$(wc -l <<<"$places")" "${#jobs[@]}"
        add_job "LOG$rank" env -u MS_ROLE "RANK_TABLE_FILE=$table" "RANK_ID=$rank" "RANK_SIZE=$number" \
            "DEVICE_ID=$device" "${bound[@]}" "${command[@]}" --device_target Ascend --device_id "$device"
    done <<<"$places"
}

# Fills `bound` with the taskset of one of several processes, where there are cores for each.
bind_cores() {  # PROCESSES NUMBER
    local cores=$((${CORES:-$(nproc)} / $1))
    bound=()
    if [[ ${BIND_CORES:-true} == true ]] && ((cores > 0)); then
        bound=(taskset -c "$(($2 * cores))-$(($2 * cores + cores - 1))")
    fi
}

# MindSpore's dynamic cluster: a scheduler and its workers, with the variables that msrun sets. msrun itself
# kills the workers on Ctrl+C, before they could save their state, and then returns 0.
plan_cluster() {  # TARGET PROCESSES
    local target=$1 number=$2 rank
    local -a meeting bound=() device=()
    meeting=(env -u RANK_TABLE_FILE "MS_WORKER_NUM=$number" MS_SCHED_HOST=127.0.0.1
        "MS_SCHED_PORT=$(meeting_port)" "RANK_SIZE=$number")
    [[ $target == Ascend ]] || meeting+=("OMP_NUM_THREADS=$(threads_each "$number")")
    add_job scheduler "${meeting[@]}" MS_ROLE=MS_SCHED RANK_ID=0 \
        "${command[0]}" -c "${SCHEDULER/\%s/$target}"
    for ((rank = 0; rank < number; rank++)); do
        if [[ $target == Ascend ]]; then
            bind_cores "$number" "$rank"
            device=(--device_id "$rank")
        fi
        add_job "LOG$rank" "${meeting[@]}" MS_ROLE=MS_WORKER "MS_NODE_ID=$rank" "RANK_ID=$rank" \
            "DEVICE_ID=$rank" "${bound[@]}" "${command[@]}" --device_target "$target" "${device[@]}"
    done
}

# mpirun starts all ranks; rank.sh tells each of them who it is.
plan_mpirun() {  # TARGET PROCESSES
    local target=$1 number=$2 rank
    local -a start=(env -u MS_ROLE -u RANK_TABLE_FILE "RANK_SIZE=$number")
    if [[ $target == CPU ]]; then
        start+=("MS_SCHED_PORT=$(meeting_port)" "OMP_NUM_THREADS=$(threads_each "$number")")
    fi
    start+=(mpirun -n "$number" --oversubscribe --bind-to none)
    ((EUID != 0)) || start+=(--allow-run-as-root)
    add_job mpirun "${start[@]}" bash "$root/scripts/rank.sh" "$target" \
        "${command[@]}" --device_target "$target"
    for ((rank = 0; rank < number; rank++)); do
        notes+=("LOG$rank/log.txt: mpirun's rank $rank with $(rank_flags "$target" "$rank")")
    done
}

# What rank.sh adds to the command of a rank: GPUs are taken in order, a CPU is one device.
rank_flags() {  # TARGET LOCAL_RANK
    if [[ $1 == CPU ]]; then echo "--device_id 0"; else echo "--device_id $2"; fi
}

threads_each() {  # PROCESSES
    local cores=$((${CORES:-$(nproc)} / $1))
    echo "$((cores > 0 ? cores : 1))"
}

meeting_port() {
    local port=${MASTER_PORT:-8118}
    if [[ -z ${MASTER_PORT:-} ]]; then
        while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    fi
    echo "$port"
}

# Starts the jobs and waits for all of them. The first that fails ends the others; its last lines are shown
# and its code is returned. Ctrl+C is passed on to all: they agree on a step, and the first saves the state.
run_jobs() {
    local i ended status result=0 failed=""
    declare -gA running=()
    interrupted=false
    exec {stderr}>&2 2>/dev/null  # bash would tell of every job that a signal ends
    set -m  # each job in a process group of its own, so that Ctrl+C comes through the trap, and once
    trap 'interrupt "${!running[@]}"' INT TERM
    trap 'signal_jobs KILL "${!running[@]}"' EXIT  # nothing outlives the launcher, whatever ends it
    for i in "${!jobs[@]}"; do
        mkdir -p "${folders[i]}"
        : >"${folders[i]}/log.txt"
        bash -c "exec ${jobs[i]}" </dev/null >"${folders[i]}/log.txt" 2>&1 &
        running[$!]=$i
    done
    show_first_rank
    while ((${#running[@]})); do
        ended="" status=0
        wait -n -p ended "${!running[@]}" || status=$?
        [[ -n ${ended:-} ]] || continue  # a trap broke the wait off
        i=${running[$ended]}
        unset "running[$ended]"
        if ((status && !result)); then
            result=$status
            failed=$i
            $interrupted || end_jobs "${!running[@]}"
        fi
    done
    hide_first_rank
    [[ -z ${ender:-} ]] || kill "$ender" 2>/dev/null || true
    if ((result)) && ! $interrupted; then
        report_failure "${folders[failed]}" "$result" >&"$stderr"
    fi
    return "$result"
}

interrupt() {  # PIDS...
    if $interrupted; then
        end_jobs "$@"
    else
        interrupted=true
        if [[ ${folders[0]} == mpirun ]]; then kill -USR2 "$@"; else signal_jobs INT "$@"; fi
    fi
}

signal_jobs() {  # SIGNAL PIDS...
    local signal=$1 pid
    shift
    for pid in "$@"; do
        kill "-$signal" -- "-$pid" 2>/dev/null || true
    done
}

# One process is dead: the others wait for it in vain.
end_jobs() {  # PIDS...
    (($#)) || return 0
    signal_jobs TERM "$@"
    { sleep "$GRACE"; signal_jobs KILL "$@"; } &
    ender=$!
}

show_first_rank() {
    local first=LOG0
    [[ ${folders[0]} != mpirun ]] || first=mpirun  # it passes the first rank's lines on, and adds its own
    tail -n +1 -f "$first/log.txt" 2>/dev/null &
    shower=$!
}

hide_first_rank() {
    sleep 0.3  # tail looks once in a while
    kill "$shower" 2>/dev/null || true
    wait "$shower" 2>/dev/null || true
}

report_failure() {  # FOLDER STATUS
    echo "$1 ended with exit code $2, and the run with it; the last lines of $1/log.txt:"
    tail -n "$SHOWN" "$1/log.txt"
}
