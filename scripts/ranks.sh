# Sourced by launch.sh: plans, prints, starts and monitors the processes of a distributed run.
# shellcheck shell=bash disable=SC2154  # root, command etc. are set by launch.sh

readonly GRACE=10  # seconds before a process waiting for a dead one is killed
readonly SHOWN=15  # lines shown of a failed process's log
# Scheduler of a dynamic cluster; it uses no device, trains nothing and exits with the workers.
SCHEDULER="import mindspore; mindspore.set_device('%s'); "
SCHEDULER+="mindspore.communication.init()"
export SCHEDULER
readonly FIRST_PORT=8118 PORTS=1000
# Finds a port of the first argument's address, from the second argument on, in as many as the third says,
# and keeps it until its input ends.
# Bound without SO_REUSEADDR, it is refused to other launchers; with the option set afterwards, the scheduler,
# which has it too, can still bind and listen. A port that was asked for may be one that was just left.
RESERVE="
import socket, sys
host, first, count = sys.argv[1], *map(int, sys.argv[2:])
for port in range(first, first + count):
    for reuse in (0, 1) if count == 1 else (0,):
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            holder.bind((host, port))
        except OSError as error:
            reason = error.strerror
            continue
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        print(port, flush=True)
        sys.stdin.read()
        sys.exit()
print('-', reason)
"

folders=()  # log folder of each job; LOG<rank> for workers
jobs=()     # command line of each job, quoted
notes=()    # additional lines of print_jobs

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

# Ascend with a rank table: one process per device of this server.
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

# Sets `bound` to the taskset command of one process, if there are cores for each.
bind_cores() {  # PROCESSES NUMBER
    local cores=$((${CORES:-$(nproc)} / $1))
    bound=()
    if [[ ${BIND_CORES:-true} == true ]] && ((cores > 0)); then
        bound=(taskset -c "$(($2 * cores))-$(($2 * cores + cores - 1))")
    fi
}

# MindSpore's dynamic cluster: a scheduler and its workers, with the variables that msrun sets. msrun itself
# kills the workers on Ctrl+C before they can save their state, and then returns 0. With NODES machines, each
# runs this launcher and starts its share of the workers; the first one also runs the scheduler.
plan_cluster() {  # TARGET PROCESSES
    local target=$1 number=$2 nodes=${NODES:-1} node=${NODE_RANK:-0} each local_rank rank
    local -a meeting bound=() device=()
    check_nodes "$number" "$nodes" "$node"
    each=$((number / nodes))
    if ((node == 0)); then reserve_port; else port=${MASTER_PORT:-$FIRST_PORT}; fi
    meeting=(env -u RANK_TABLE_FILE "MS_WORKER_NUM=$number" "MS_SCHED_HOST=${MASTER_ADDR:-127.0.0.1}"
        "MS_SCHED_PORT=$port" "RANK_SIZE=$number")
    [[ -z ${NODE_ADDR:-} ]] || meeting+=("MS_WORKER_IP=$NODE_ADDR")
    [[ $target == Ascend ]] || meeting+=("OMP_NUM_THREADS=$(threads_each "$each")")
    ((node > 0)) || add_job scheduler "${meeting[@]}" MS_ROLE=MS_SCHED RANK_ID=0 \
        "${command[0]}" -c "${SCHEDULER/\%s/$target}"
    for ((local_rank = 0; local_rank < each; local_rank++)); do
        rank=$((node * each + local_rank))
        if [[ $target == Ascend ]]; then
            bind_cores "$each" "$local_rank"
            device=(--device_id "$local_rank")
        fi
        add_job "LOG$rank" "${meeting[@]}" MS_ROLE=MS_WORKER "MS_NODE_ID=$rank" "RANK_ID=$rank" \
            "DEVICE_ID=$local_rank" "${bound[@]}" "${command[@]}" --device_target "$target" "${device[@]}"
    done
}

check_nodes() {  # PROCESSES NODES NODE_RANK
    [[ $2 =~ ^[1-9][0-9]{0,3}$ ]] || die "NODES '$2' is not a number of machines from 1 to 9999"
    [[ $3 =~ ^[0-9]{1,4}$ ]] && (($3 < $2)) ||
        die "NODE_RANK '$3' is not a number from 0 to $(($2 - 1)), this machine among the $2 of NODES"
    (($1 % $2 == 0)) || die "$1 processes cannot be shared equally among $2 machines (NODES)"
    (($2 == 1)) || [[ -n ${MASTER_ADDR:-} ]] ||
        die "NODES=$2 needs MASTER_ADDR, the address of the machine with NODE_RANK 0"
}

# mpirun starts all ranks; rank.sh sets up each of them.
plan_mpirun() {  # TARGET PROCESSES
    local target=$1 number=$2 rank
    local -a start=(env -u MS_ROLE -u RANK_TABLE_FILE "RANK_SIZE=$number")
    $dry_run || type -P mpirun >/dev/null ||
        die "mpirun is not installed; install Open MPI (Debian, Ubuntu: apt install openmpi-bin), or use" \
            "scripts/run_distributed_cpu.sh on CPUs, which does not need it"
    if [[ $target == CPU ]]; then
        reserve_port
        start+=("MS_SCHED_PORT=$port" "OMP_NUM_THREADS=$(threads_each "$number")")
    fi
    start+=(mpirun -n "$number")
    if [[ -n ${HOSTFILE:-} ]]; then
        add_hosts "$target"
    else
        start+=(--oversubscribe)
    fi
    start+=(--bind-to none)
    ((EUID != 0)) || start+=(--allow-run-as-root)
    add_job mpirun "${start[@]}" bash "$root/scripts/rank.sh" "$target" \
        "${command[@]}" --device_target "$target"
    if [[ -n ${HOSTFILE:-} ]]; then
        notes=("LOG<rank>/log.txt on the rank's machine; --device_id is its place among the ranks there")
        return
    fi
    for ((rank = 0; rank < number; rank++)); do
        notes+=("LOG$rank/log.txt: mpirun's rank $rank with $(rank_flags "$target" "$rank")")
    done
}

# Adds the machines of HOSTFILE and the variables that their ranks need to `start`.
add_hosts() {  # TARGET
    local name
    [[ -f $HOSTFILE ]] ||
        die "HOSTFILE $HOSTFILE does not exist; it lists a machine and its slots on each line"
    [[ $1 != CPU || -n ${MASTER_ADDR:-} ]] ||
        die "HOSTFILE on CPUs needs MASTER_ADDR, the address of the first machine in it"
    start+=(--hostfile "$HOSTFILE")
    for name in RANK_SIZE SCHEDULER RESUME_COMMAND PATH LD_LIBRARY_PATH CUDA_HOME MASTER_ADDR \
        MS_SCHED_PORT OMP_NUM_THREADS; do
        case $name in
            RANK_SIZE | SCHEDULER | RESUME_COMMAND) ;;
            MS_SCHED_PORT | OMP_NUM_THREADS) [[ $1 == CPU ]] || continue ;;
            *) [[ -n ${!name:-} ]] || continue ;;
        esac
        start+=(-x "$name")
    done
}

# Flags added by rank.sh: GPUs are assigned in order, a CPU is one device.
rank_flags() {  # TARGET LOCAL_RANK
    if [[ $1 == CPU ]]; then echo "--device_id 0"; else echo "--device_id $2"; fi
}

threads_each() {  # PROCESSES
    local cores=$((${CORES:-$(nproc)} / $1))
    echo "$((cores > 0 ? cores : 1))"
}

# Sets `port` to the scheduler's port and reserves it: a process keeps it until this launcher ends.
reserve_port() {
    local given=${MASTER_PORT:-} count=$PORTS host=${MASTER_ADDR:-127.0.0.1} reason
    # Machines that cannot ask each other agree on the first port.
    [[ -n $given ]] || [[ ${NODES:-1} == 1 && -z ${HOSTFILE:-} ]] || given=$FIRST_PORT
    if [[ -n $given ]]; then
        count=1
        [[ $given =~ ^[1-9][0-9]{0,4}$ ]] && ((given <= 65535)) ||
            die "MASTER_PORT '$given' is not a port from 1 to 65535"
    fi
    port=$given
    if [[ -n $given ]] && $dry_run; then return; fi
    coproc HOLDER {
        trap '' INT TERM HUP
        exec "$python" -c "$RESERVE" "$host" "${given:-$FIRST_PORT}" "$count"
    }
    read -r port reason <&"${HOLDER[0]}" || die "$python cannot run"
    [[ $port != - ]] ||
        die "${given:+MASTER_PORT }${given:-no port from $FIRST_PORT on} cannot be used ($reason);" \
            "give another MASTER_PORT${given:+, or none to take a free one}"
}

release_port() {
    if [[ -n ${HOLDER_PID:-} ]]; then exec {HOLDER[1]}>&-; fi
}

# Starts the jobs and waits for all of them. If one fails, the others are stopped, its last lines are shown
# and its exit code is returned. Signals are forwarded to all: they stop at the same step, and rank 0 saves.
run_jobs() {
    local i ended status result=0 failed=""
    declare -gA running=()
    interrupted=false first_signal=""
    exec {stderr}>&2 2>/dev/null  # bash would report every job killed by a signal
    set -m  # own process group per job, so that Ctrl+C arrives once, through the trap
    trap 'interrupt INT' INT
    trap 'interrupt TERM' TERM
    trap 'interrupt HUP' HUP
    trap 'signal_jobs KILL "${!running[@]}"' EXIT  # nothing outlives the launcher, however it ends
    for i in "${!jobs[@]}"; do
        mkdir -p "${folders[i]}" 2>/dev/null || die "the log folder ${folders[i]} cannot be created"
        : >"${folders[i]}/log.txt"
        bash -c "exec ${jobs[i]}" </dev/null >"${folders[i]}/log.txt" 2>&1 &
        running[$!]=$i
    done
    show_first_rank
    while ((${#running[@]})); do
        ended="" status=0
        wait -n -p ended "${!running[@]}" || status=$?
        [[ -n ${ended:-} ]] || continue  # interrupted by a trap
        i=${running[$ended]}
        unset "running[$ended]"
        if ((status && !result)); then
            result=$status
            failed=$i
            hide_first_rank  # the end of the others is no news
            $interrupted || end_jobs "${!running[@]}"
        fi
        # A scheduler that no worker has joined would wait for them.
        if $interrupted && ((${#running[@]} == 1)) && [[ ${folders[${running[*]}]} == scheduler ]]; then
            end_jobs "${!running[@]}"
        fi
    done
    hide_first_rank
    [[ -z ${ender:-} ]] || kill -- "-$ender" 2>/dev/null || true
    if ((result == 2)) || { ((result)) && ! $interrupted; }; then
        report_failure "${folders[failed]}" "$result" >&"$stderr"
    fi
    # While a graph runs MindSpore turns SIGINT into SIGTERM.
    [[ $first_signal,$result != INT,143 ]] || result=130
    return "$result"
}

interrupt() {  # SIGNAL
    local pid
    if $interrupted; then
        end_jobs "${!running[@]}"
        return
    fi
    interrupted=true first_signal=$1
    for pid in "${!running[@]}"; do
        # The scheduler ends with its workers.
        case ${folders[${running[$pid]}]} in
            mpirun) kill -USR2 "$pid" ;;
            scheduler) ;;
            *) signal_jobs "$1" "$pid" ;;
        esac
    done
}

signal_jobs() {  # SIGNAL PIDS...
    local signal=$1 pid
    shift
    for pid in "$@"; do
        kill "-$signal" -- "-$pid" 2>/dev/null || true
    done
}

# One process is dead: the others would wait forever.
end_jobs() {  # PIDS...
    (($#)) || return 0
    signal_jobs TERM "$@"
    # Without the launcher's output, whose reader would wait for it.
    { sleep "$GRACE"; signal_jobs KILL "$@"; } >/dev/null {stderr}>&- &
    ender=$!
}

show_first_rank() {
    first=${folders[0]}  # that of mpirun forwards rank 0's output
    [[ $first != scheduler ]] || first=${folders[1]}
    # All ranks may print a user error: report_failure shows it once.
    tail -n +1 -f "$first/log.txt" 2>/dev/null > >(grep --line-buffered -v '^error: ') &
    shower=$!
}

hide_first_rank() {
    [[ -n ${shower:-} ]] || return 0
    sleep 0.3  # tail polls
    kill "$shower" 2>/dev/null || true
    wait "$shower" 2>/dev/null || true
    shower=""
}

report_failure() {  # FOLDER STATUS
    local sentence
    if (($2 == 2)) && sentence=$(grep -m 1 '^error: ' "$1/log.txt"); then
        echo "$sentence"
        return
    fi
    echo "$1 ended with exit code $2, and the run with it; the last lines of $1/log.txt:"
    tail -n "$SHOWN" "$1/log.txt"
}
