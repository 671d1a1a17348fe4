"""python -m src.tools.glue_table: teacher, student and int8 file of several tasks in one table."""

from ..config.cli import parse
from ..config.glue_table_config import GlueTableConfig
from ..errors import run_main
from ..stages.evaluation.glue_table import glue_table


def main(argv=None):
    """Parse the command line and print the table."""
    glue_table(parse(GlueTableConfig, argv, prog="python -m src.tools.glue_table").config)


if __name__ == "__main__":
    run_main(main)
