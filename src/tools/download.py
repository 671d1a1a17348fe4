"""python -m src.tools.download: GLUE's tasks, its diagnostic set, SNLI and GloVe, from their owners."""

from ..config.cli import parse
from ..config.download_config import DownloadConfig
from ..errors import run_main
from ..stages.preparation.download import download


def main(argv=None):
    """Parse the command line and fetch."""
    download(parse(DownloadConfig, argv, prog="python -m src.tools.download").config)


if __name__ == "__main__":
    run_main(main)
