"""python run_task_distill.py: distill a fine-tuned teacher into a general student for one task."""

from collections.abc import Sequence

from src.errors import run_main
from src.tools.training import task_distill


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage; with --seeds, this script once for each seed."""
    task_distill.main(argv, start=[__file__])


if __name__ == "__main__":
    run_main(main)
