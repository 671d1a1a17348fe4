"""python -m src.tools.compare: several models on the same records: quality, size and speed in one table."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import RecordsConfig
from ..config.fields import POSITIVE, flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class CompareConfig(RecordsConfig):
    """Several models on the same records: quality, size and speed in one table, losses in one plot."""

    models: str = required_flag("model folders by name, the reference first: teacher=DIR,student=DIR")
    eval_data_dir: str = required_flag(
        "evaluation records: a file, a comma list or a folder that prepare wrote"
    )
    output_dir: str = flag("output/compare", "where compare.json, table.md and losses.png go")
    timed_sentences: int = flag(200, "sentences timed, one at a time", check=POSITIVE)
    overwrite_output_dir: bool = flag(False, "delete what an earlier run wrote to output_dir")


def main(argv=None):
    """Compare as the command line says."""
    config = parse(CompareConfig, argv, prog=command_line("compare")).config
    from ..stages.evaluation.compare import compare

    compare(config)


if __name__ == "__main__":
    run_main(main)
