"""python -m benchmarks.bench_teacher_cache: phase-1 epochs with the teacher cache and without.

The peer is this project with `--teacher_cache off`, which runs the teacher in every step. Rows, turns and
scaling are those of bench_epoch, with all defaults.
"""

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.comparison import BATCH, Comparison, make_parser
from src.errors import run_main
from src.files import write_json

ROWS = ("teacher_cache_first_epoch", "teacher_cache_later_epochs")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; --json also writes {"rows": [{"name", "ratio", "low", "high"}]}."""
    flags = make_parser(__doc__, plot=False).parse_args(argv)
    flags.rounds = flags.rounds or (2 if flags.quick else 3)
    flags.rows = flags.rows or (15 if flags.quick else 50) * BATCH
    with Comparison(flags) as peers:
        peers.add_product("cached", td_phase2_epoch_size=0)
        peers.add_product("uncached", td_phase2_epoch_size=0, teacher_cache="off")
        peers.prepare([1])
        order = [("cached", "first"), ("uncached", "step"), ("cached", "later")]
        rounds: list[list[Any]] = [
            [peers.epoch_seconds(name, task) for name, task in order] for _ in range(flags.rounds)
        ]
    rows = []
    for name, index in zip(ROWS, (0, 2), strict=True):
        ratios = [times[index] / times[1] for times in rounds]
        seconds = statistics.median(times[index] for times in rounds)
        row = {"name": name, "ratio": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
        spread = f"({row['low']:.3f} to {row['high']:.3f})"
        print(f"{name:<28}{row['ratio']:6.3f}  {spread:<18}{seconds:9.1f} s per epoch", flush=True)
        rows.append(row)
    if flags.json:
        write_json(flags.json, {"rows": rows})


if __name__ == "__main__":
    run_main(main)
