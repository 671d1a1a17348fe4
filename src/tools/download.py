"""python -m src.tools.download: download GLUE, its diagnostic set, SNLI and GloVe from their publishers."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.fields import flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class DownloadConfig:
    """Download data sets from their publishers, into the folders that prepare and augment read."""

    tasks: str = required_flag(
        "comma-separated list of CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI, diagnostic, SNLI, "
        "GloVe; glue: the first ten; all"
    )
    data_dir: str = flag("data", "folder for the data sets, one subfolder each")
    mirror: str = flag("", "mirror with the original file names: http(s)://HOST/FOLDER")
    overwrite: bool = flag(False, "download again and replace the files of an earlier download")


def main(argv: Sequence[str] | None = None) -> None:
    """Download the data sets."""
    config = parse(DownloadConfig, argv, prog=command_line("download")).config
    from ..stages.preparation.download import download

    download(config)


if __name__ == "__main__":
    run_main(main)
