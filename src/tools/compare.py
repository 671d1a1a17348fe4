"""python -m src.tools.compare: several models on the same records: quality, size and speed in one table."""

from ..config.cli import parse
from ..config.compare_config import CompareConfig
from ..errors import run_main


def main(argv=None):
    """Compare as the command line says."""
    config = parse(CompareConfig, argv, prog="python -m src.tools.compare").config
    from ..stages.evaluation.compare import compare

    compare(config)


if __name__ == "__main__":
    run_main(main)
