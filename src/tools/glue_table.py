"""python -m src.tools.glue_table: teacher, student and int8 file of several tasks in one table."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.fields import flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class GlueTableConfig:
    """One table over tasks, from the evaluations that scripts/run_glue.sh left: teacher, student, int8."""

    output_dir: str = flag("output/glue", "folder with a folder for each task; table.md and .json go there")


def main(argv=None):
    """Parse the command line and print the table."""
    config = parse(GlueTableConfig, argv, prog=command_line("glue_table")).config
    from ..stages.evaluation.glue_table import glue_table

    glue_table(config)


if __name__ == "__main__":
    run_main(main)
