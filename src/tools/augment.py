"""python -m src.tools.augment: more training rows by replacing words (TinyBERT, section 3.2)."""

from ..config.augment_config import resolve
from ..errors import run_main
from ..stages.augmentation.augment import augment


def main(argv=None):
    """Parse the command line and write the augmented file."""
    augment(resolve(argv))


if __name__ == "__main__":
    run_main(main)
