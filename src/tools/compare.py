"""python -m src.tools.compare: compare quality, size and speed of several models on the same records."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import RecordsConfig
from ..config.fields import POSITIVE, flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class CompareConfig(RecordsConfig):
    """Compare quality, size and speed of several models on the same records: a table and a loss plot."""

    models: str = required_flag("named model folders, the baseline first: teacher=DIR,student=DIR")
    eval_data_dir: str = required_flag(
        "evaluation records: a file, a comma-separated list, or a folder written by prepare"
    )
    output_dir: str = flag("output/compare", "folder for compare.json, table.md and losses.png")
    timed_sentences: int = flag(200, "sentences timed one at a time", check=POSITIVE)
    overwrite_output_dir: bool = flag(False, "delete files that an earlier run wrote to output_dir")


def main(argv: Sequence[str] | None = None) -> None:
    """Compare the models."""
    config = parse(CompareConfig, argv, prog=command_line("compare")).config
    from ..stages.evaluation.compare import compare

    compare(config)


if __name__ == "__main__":
    run_main(main)
