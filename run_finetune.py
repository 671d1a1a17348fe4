"""python run_finetune.py: fine-tune a pretrained BERT, or train a student on labels alone."""

from src.signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

from collections.abc import Sequence

from src.errors import run_main
from src.tools.training import finetune


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage; with --seeds, this script once for each seed."""
    finetune.main(argv, start=[__file__])


if __name__ == "__main__":
    run_main(main)
