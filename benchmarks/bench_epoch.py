"""python -m benchmarks.bench_epoch: epochs of TinyBERT's two phases over SST-2, compared with PyTorch.

The peer pads each row to 64 tokens and runs the teacher in every step, as in the original; `easy` is PyTorch
with batches sorted by length and bfloat16 matmuls. This project runs with its defaults (auto), and with all
products in one precision. Only a slice of the rows is trained on: the step time of each length is multiplied
by the number of such batches in the full data.
Each peer has its own process and they take turns; see docs/performance.md.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from benchmarks.comparison import (
    BATCH,
    DROPOUT,
    EASY,
    ORIGINAL,
    PRECISIONS,
    against_pytorch,
    make_parser,
)
from benchmarks.report import publish, row_of, unavailable_row
from src.errors import run_main

# Row -> (precision, task of this project, task of PyTorch).
ROWS = {
    "epoch_first_auto": ("auto", "first", "phase1"),
    "epoch_first_fp32": ("fp32", "first", "phase1"),
    "epoch_later_fp32": ("fp32", "later", "phase1"),
    "epoch_later_bf16": ("bf16", "later", "phase1"),
    "phase2_fp32": ("fp32", "phase2", "phase2"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; --json and --plot write the results."""
    flags = parse_flags(__doc__, argv)
    measured = measure(flags)
    publish([_row(name, measured) for name in ROWS], flags, **measured)


def parse_flags(
    description: str, argv: Sequence[str] | None, *extra: tuple[str, dict[str, Any]]
) -> argparse.Namespace:
    """Parse the flags of an epoch benchmark; `extra` are additional (name, add_argument settings)."""
    parser = make_parser(description)
    parser.add_argument("--easy", default="autocast", choices=EASY, help="PyTorch variant to run as `easy`")
    for name, settings in extra:
        parser.add_argument(name, **settings)
    flags = parser.parse_args(argv)
    flags.rounds = flags.rounds or (2 if flags.quick else 3)
    flags.rows = flags.rows or (32 if flags.quick else 50) * BATCH
    return flags


def measure(flags: argparse.Namespace) -> dict[str, dict]:
    """Return {seconds: {peer: {task: epoch seconds by round}}, compile, memory, absent: {peer: ...}}."""
    with against_pytorch(flags, [flags.easy], True, DROPOUT, {}) as peers:
        peers.prepare([1, 2])
        steps = {ORIGINAL: 2 if flags.quick else 4, flags.easy: 5 if flags.quick else 10}
        order = [(ORIGINAL, "phase1"), ("fp32", "first"), ("auto", "first"), ("fp32", "later")]
        order += [(flags.easy, "phase1"), ("bf16", "first"), ("bf16", "later"), ("auto", "later")]
        order += [(name, "phase2") for name in (ORIGINAL, flags.easy, *PRECISIONS)]
        seconds: dict[str, dict[str, list[float | None]]] = {name: {} for name, _ in order}
        for _ in range(flags.rounds):
            for name, task in order:
                timed = peers.epoch_seconds(name, task, steps.get(name, 0))
                seconds[name].setdefault(task, []).append(timed)
        seconds["easy"] = seconds.pop(flags.easy)
        names = (ORIGINAL, *PRECISIONS)
        return {
            "seconds": seconds,
            "compile": {name: peers.compile_seconds(name) for name in names},
            "memory": {name: peers.memory(name) for name in names},
            "absent": peers.unavailable,
        }


def _row(name: str, measured: dict[str, dict]) -> dict[str, Any]:
    precision, task, torch_task = ROWS[name]
    if precision in measured["absent"]:
        return unavailable_row(name, measured["absent"][precision])
    seconds, memory = measured["seconds"], measured["memory"]
    columns = (seconds[precision][task], seconds[ORIGINAL][torch_task], seconds["easy"][torch_task])
    return row_of(name, *columns, (memory[precision], memory[ORIGINAL]))


if __name__ == "__main__":
    run_main(main)
