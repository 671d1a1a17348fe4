"""python -m benchmarks.bench_step: one phase-1 step of TinyBERT, 32 rows of 64 tokens, compared with PyTorch.

Only the engine differs: teacher in the step, no dropout, no sorting by length. The peer is the original in
PyTorch (eager, float32); the variants of `--easy` speed it up in a line or two, and the fastest counts as
`easy`. Each peer has its own process and they take turns; see docs/performance.md.
"""

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.comparison import (
    BATCH,
    EASY,
    NO_DROPOUT,
    ORIGINAL,
    PRECISIONS,
    against_pytorch,
    make_parser,
)
from benchmarks.report import publish, row_of, unavailable_row
from src.errors import run_main

QUICK_EASY = ["autocast", "medium"]  # torch.compile takes a minute
SAME_WORK = {"teacher_cache": "off", "length_buckets": "off", "td_phase2_epoch_size": 0, **NO_DROPOUT}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; --json and --plot write the results."""
    parser = make_parser(__doc__)
    parser.add_argument("--easy", nargs="+", choices=EASY, help="PyTorch variants to run")
    parser.add_argument("--steps", type=int, default=0, help="timed steps per round")
    flags = parser.parse_args(argv)
    flags.rounds = flags.rounds or (3 if flags.quick else 5)
    flags.steps = flags.steps or (2 if flags.quick else 4)
    flags.easy = flags.easy or (QUICK_EASY if flags.quick else list(EASY))
    flags.rows = flags.rows or 50 * BATCH
    with against_pytorch(flags, flags.easy, False, 0.0, SAME_WORK) as peers:
        peers.prepare([1])
        tasks = dict.fromkeys((ORIGINAL, *flags.easy), "phase1") | dict.fromkeys(PRECISIONS, "step")
        epochs: dict[str, list[Any]] = {name: [] for name in tasks}
        for _ in range(flags.rounds):
            for name, task in tasks.items():
                epochs[name].append(peers.epoch_seconds(name, task, flags.steps))
        steps = peers.steps_per_epoch()
        seconds = {name: [time and time / steps for time in times] for name, times in epochs.items()}
        for name in flags.easy:
            print(f"PyTorch, {name}: {_median_ratio(seconds[name], seconds[ORIGINAL]):.3f} of the original")
        fastest = min(flags.easy, key=lambda name: statistics.median(seconds[name]))
        rows = []
        for name in PRECISIONS:
            if name in peers.unavailable:
                rows.append(unavailable_row(f"step_{name}", peers.unavailable[name]))
                continue
            columns = seconds[name], seconds[ORIGINAL], seconds[fastest]
            rows.append(row_of(f"step_{name}", *columns, (peers.memory(name), peers.memory(ORIGINAL))))
        publish(rows, flags, seconds=seconds, easy=fastest)


def _median_ratio(times: Sequence[float], reference: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(times, reference, strict=True))


if __name__ == "__main__":
    run_main(main)
