"""python -m src.tools.download: GLUE's tasks, its diagnostic set, SNLI and GloVe, from their owners."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.fields import flag, required_flag
from ..errors import run_main
from ..stages.preparation.download import download


@dataclasses.dataclass(frozen=True)
class DownloadConfig:
    """Fetch the data of tasks from their owners, into the folders that `prepare` and `augment` read."""

    tasks: str = required_flag(
        "comma list of CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI, diagnostic, SNLI, GloVe; glue: "
        "the first ten; all"
    )
    data_dir: str = flag("data", "folder in which each of them gets its own")
    mirror: str = flag(
        "", "another place of the same files: http(s)://HOST/FOLDER, in which they have their owners' names"
    )
    overwrite: bool = flag(False, "fetch and replace files that an earlier download has written")


def main(argv=None):
    """Parse the command line and fetch."""
    download(parse(DownloadConfig, argv, prog=command_line("download")).config)


if __name__ == "__main__":
    run_main(main)
