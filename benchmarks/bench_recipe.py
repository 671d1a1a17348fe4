"""python -m benchmarks.bench_recipe: a complete task distillation, compared with PyTorch.

Ten epochs of phase 1 and three of phase 2 over all 67,349 rows of SST-2, composed of bench_epoch's epochs:
ours      compilation + first + 9 * later + 3 * phase 2
PyTorch   10 * phase 1 + 3 * phase 2
Compilation counts once and is not scaled, since it does not grow with the rows. `--measured` reads the epochs
from bench_epoch's JSON; otherwise they are measured here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.bench_epoch import measure, parse_flags
from benchmarks.comparison import ORIGINAL, PRECISIONS
from benchmarks.report import publish, row_of, unavailable_row
from src.errors import run_main
from src.json_reader import read_json

EPOCHS = {"phase1": 10, "phase2": 3}
OURS = {"first": 1, "later": EPOCHS["phase1"] - 1, "phase2": EPOCHS["phase2"]}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, or read --measured, and print; --json and --plot write the results."""
    help_text = "JSON file written by bench_epoch"
    flags = parse_flags(__doc__, argv, ("--measured", {"default": "", "help": help_text}))
    measured = read_json(flags.measured) if flags.measured else measure(flags)
    publish([_row(precision, measured) for precision in PRECISIONS], flags)


def total(seconds: Mapping[str, Sequence[float]], epochs: Mapping[str, int]) -> list[float]:
    """Return a recipe's seconds in each round, from `seconds` {task: by round} and `epochs` {task: n}."""
    rounds = zip(*(seconds[task] for task in epochs), strict=True)
    return [sum(count * time for count, time in zip(epochs.values(), times, strict=True)) for times in rounds]


def _row(precision: str, measured: dict[str, dict]) -> dict[str, Any]:
    name = f"recipe_{precision}"
    if precision in measured["absent"]:
        return unavailable_row(name, measured["absent"][precision])
    seconds, memory = measured["seconds"], measured["memory"]
    compile_seconds = measured["compile"][precision]
    ours = [compile_seconds + training for training in total(seconds[precision], OURS)]
    original, easy = (total(seconds[peer], EPOCHS) for peer in (ORIGINAL, "easy"))
    print(f"{name}: includes {compile_seconds:.1f} s of compilation")
    return row_of(name, ours, original, easy, (memory[precision], memory[ORIGINAL]))


if __name__ == "__main__":
    run_main(main)
