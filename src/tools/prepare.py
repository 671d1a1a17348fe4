"""python -m src.tools.prepare: text files of a task -> record files."""

from ..config.cli import parse
from ..config.prepare_config import PrepareConfig
from ..errors import run_main
from ..stages.preparation.prepare import prepare


def main(argv=None):
    """Parse the command line and prepare the records."""
    prepare(parse(PrepareConfig, argv, prog="python -m src.tools.prepare"))


if __name__ == "__main__":
    run_main(main)
