"""python -m benchmarks.bench_recipe: a whole task distillation against PyTorch.

Ten epochs of phase 1 and three of phase 2, put together from the epochs of bench_epoch,
over all 67,349 rows of SST-2:
ours      compiling + first + 9 * later + 3 * phase 2
PyTorch's 10 * phase 1 + 3 * phase 2
Compiling is counted once and in full, for it does not grow with the rows. `--measured` takes the epochs from
the JSON of a run of bench_epoch; without it they are measured here.
"""

from benchmarks.bench_epoch import flags_of, measure
from benchmarks.comparison import ORIGINAL
from benchmarks.report import absent_row, publish, row_of
from src.errors import run_main
from src.files import read_json

EPOCHS = {"phase1": 10, "phase2": 3}
OURS = {"first": 1, "later": EPOCHS["phase1"] - 1, "phase2": EPOCHS["phase2"]}


def main(argv=None):
    """Measure, or read what was measured, and print; --json and --plot write the figures."""
    help_text = "the JSON that bench_epoch wrote"
    flags = flags_of(__doc__, argv, ("--measured", {"default": "", "help": help_text}))
    measured = read_json(flags.measured) if flags.measured else measure(flags)
    publish([_row(precision, measured) for precision in ("fp32", "bf16")], flags)


def total(seconds, epochs):
    """Seconds of a recipe by round, from seconds {task: by round} and epochs {task: how many}."""
    rounds = zip(*(seconds[task] for task in epochs), strict=True)
    return [sum(count * time for count, time in zip(epochs.values(), times, strict=True)) for times in rounds]


def _row(precision, measured):
    name = f"recipe_{precision}"
    if precision in measured["absent"]:
        return absent_row(name, measured["absent"][precision])
    seconds, memory, compiling = measured["seconds"], measured["memory"], measured["compile"][precision]
    ours = [compiling + rest for rest in total(seconds[precision], OURS)]
    torch = [total(seconds[peer], EPOCHS) for peer in (ORIGINAL, "easy")]
    print(f"{name}: {compiling:.1f} s of compiling in it")
    return row_of(name, ours, *torch, (memory[precision], memory[ORIGINAL]))


if __name__ == "__main__":
    run_main(main)
