"""python -m benchmarks.bench_step: one phase-1 step of TinyBERT, 32 rows of 64 tokens, against PyTorch.

Nothing but the engine differs: the teacher is in the step, nothing is dropped out, no row is sorted. The peer
is the original way in PyTorch (eager, float32); beside it stand the easy ways to speed it up, of which the
fastest counts as `easy`. Each has a process of its own and all take turns; docs/performance.md says more.
"""

import statistics

from benchmarks.comparison import BATCH, EASY, NO_DROPOUT, ORIGINAL, against_pytorch, parser_of
from benchmarks.report import absent_row, publish, row_of
from src.errors import run_main

QUICK_EASY = ["autocast", "medium"]  # compiling a model takes PyTorch a minute
AS_IT_IS = {"teacher_cache": "off", "length_buckets": "off", "td_phase2_epoch_size": 0, **NO_DROPOUT}


def main(argv=None):
    """Measure and print; --json and --plot write the figures."""
    parser = parser_of(__doc__)
    parser.add_argument("--easy", nargs="+", choices=EASY, help="easy ways to try")
    parser.add_argument("--steps", type=int, default=0, help="timed steps a round")
    flags = parser.parse_args(argv)
    flags.rounds = flags.rounds or (3 if flags.quick else 5)
    flags.steps = flags.steps or (2 if flags.quick else 4)
    flags.easy = flags.easy or (QUICK_EASY if flags.quick else list(EASY))
    flags.rows = flags.rows or 50 * BATCH
    with against_pytorch(flags, flags.easy, False, 0.0, AS_IT_IS) as peers:
        peers.prepare([1])
        tasks = {name: "phase1" for name in (ORIGINAL, *flags.easy)} | {"fp32": "step", "bf16": "step"}
        seconds = {name: [] for name in tasks}
        for _ in range(flags.rounds):
            for name, task in tasks.items():
                seconds[name].append(peers.seconds(name, task, flags.steps))
        seconds = {name: [time and time / peers.steps() for time in times] for name, times in seconds.items()}
        for name in flags.easy:
            print(f"PyTorch, {name}: {_median_ratio(seconds[name], seconds[ORIGINAL]):.3f} of the original")
        fastest = min(flags.easy, key=lambda name: statistics.median(seconds[name]))
        rows = []
        for name in ("fp32", "bf16"):
            if name in peers.absent:
                rows.append(absent_row(f"step_{name}", peers.absent[name]))
                continue
            columns = seconds[name], seconds[ORIGINAL], seconds[fastest]
            rows.append(row_of(f"step_{name}", *columns, (peers.memory(name), peers.memory(ORIGINAL))))
        publish(rows, flags, seconds=seconds, easy=fastest)


def _median_ratio(times, others):
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


if __name__ == "__main__":
    run_main(main)
