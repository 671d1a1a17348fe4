"""python -m src.tools.glue_table: tabulate teacher, student and int8 results of several tasks."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.fields import flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class GlueTableConfig:
    """Summarize the results of scripts/run_glue.sh in one table: teacher, student and int8 file."""

    output_dir: str = flag("output/glue", "folder with one subfolder per task; table.md and .json go there")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    config = parse(GlueTableConfig, argv, prog=command_line("glue_table")).config
    from ..stages.evaluation.glue_table import glue_table

    glue_table(config)


if __name__ == "__main__":
    run_main(main)
