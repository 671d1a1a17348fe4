"""python -m src.tools.prepare: text files of a task -> record files."""
from src.config.cli import parse
from src.config.prepare_config import PrepareConfig
from src.errors import run_main
from src.stages.prepare import prepare


def main(argv=None):
    """Parse the command line and prepare the records."""
    prepare(parse(PrepareConfig, argv, prog="python -m src.tools.prepare"))


if __name__ == "__main__":
    run_main(main)
