"""python -m benchmarks.bench_epoch: epochs of TinyBERT's two phases over SST-2 against PyTorch.

The peer pads each row to 64 tokens and asks the teacher in every step, as the original does; beside it stands
`easy`, PyTorch with the batches sorted by length and products in bfloat16. This project runs as its defaults
make it. A slice of the rows is trained on; what a step of each length took is scaled by the number of such
batches in the whole. Each side has a process of its own and all take turns; docs/performance.md says more.
"""

from benchmarks.comparison import BATCH, DROPOUT, EASY, ORIGINAL, against_pytorch, parser_of
from benchmarks.report import absent_row, publish, row_of
from src.errors import run_main

PRODUCT, TORCH = ("first", "later", "phase2"), ("phase1", "phase2")
# Row -> (precision, our task, that of PyTorch).
ROWS = {
    "epoch_first_fp32": ("fp32", "first", "phase1"),
    "epoch_later_fp32": ("fp32", "later", "phase1"),
    "epoch_later_bf16": ("bf16", "later", "phase1"),
    "phase2_fp32": ("fp32", "phase2", "phase2"),
}


def main(argv=None):
    """Measure and print; --json and --plot write the figures."""
    flags = flags_of(__doc__, argv)
    measured = measure(flags)
    publish([_row(name, measured) for name in ROWS], flags, **measured)


def flags_of(text, argv, *more):
    """The flags of a benchmark of epochs; `more` are (name, settings) of its own."""
    parser = parser_of(text)
    parser.add_argument("--easy", default="autocast", choices=EASY, help="the easy way that stands beside")
    for name, settings in more:
        parser.add_argument(name, **settings)
    flags = parser.parse_args(argv)
    flags.rounds = flags.rounds or (2 if flags.quick else 3)
    flags.rows = flags.rows or (15 if flags.quick else 50) * BATCH
    return flags


def measure(flags):
    """{seconds: {peer: {task: seconds of an epoch of each round}}, compile, memory, absent: {peer: ...}}."""
    with against_pytorch(flags, [flags.easy], True, DROPOUT, {}) as peers:
        peers.prepare([1, 2])
        steps = {ORIGINAL: 2 if flags.quick else 4, flags.easy: 5 if flags.quick else 10}
        order = [(name, task) for task in TORCH for name in (ORIGINAL, flags.easy)]
        order[1:1] = [("fp32", "first"), ("fp32", "later")]
        order[4:4] = [("bf16", "first"), ("bf16", "later")]
        order += [(name, task) for task in PRODUCT[2:] for name in ("fp32", "bf16")]
        seconds = {name: {} for name, _ in order}
        for _ in range(flags.rounds):
            for name, task in order:
                found = peers.seconds(name, task, steps.get(name, 0))
                seconds[name].setdefault(task, []).append(found)
        seconds["easy"] = seconds.pop(flags.easy)
        names = (ORIGINAL, "fp32", "bf16")
        return {
            "seconds": seconds,
            "compile": {name: peers.compiling(name) for name in names},
            "memory": {name: peers.memory(name) for name in names},
            "absent": peers.absent,
        }


def _row(name, measured):
    precision, ours, theirs = ROWS[name]
    if precision in measured["absent"]:
        return absent_row(name, measured["absent"][precision])
    seconds, memory = measured["seconds"], measured["memory"]
    columns = (seconds[precision][ours], seconds[ORIGINAL][theirs], seconds["easy"][theirs])
    return row_of(name, *columns, (memory[precision], memory[ORIGINAL]))


if __name__ == "__main__":
    run_main(main)
