"""python run_q8bert_train.py: quantize to 8 bits, by training or by calibration alone."""

from src.signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

from collections.abc import Sequence

from src.errors import run_main
from src.tools.training import q8bert_train


def main(argv: Sequence[str] | None = None) -> None:
    """Run the stage; with --seeds, this script once for each seed."""
    q8bert_train.main(argv, start=[__file__])


if __name__ == "__main__":
    run_main(main)
