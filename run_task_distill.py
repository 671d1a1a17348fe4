"""python run_task_distill.py: distill a teacher into a task student in two phases, or evaluate only."""

from src.signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

from collections.abc import Sequence

from src.errors import run_main
from src.tools.training import task_distill


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage; with --seeds, this script once for each seed."""
    task_distill.main(argv, start=[__file__])


if __name__ == "__main__":
    run_main(main)
