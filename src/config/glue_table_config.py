"""Flags of `python -m src.tools.glue_table`."""

import dataclasses

from .fields import flag


@dataclasses.dataclass(frozen=True)
class GlueTableConfig:
    """One table over tasks, from the evaluations that scripts/run_glue.sh left: teacher, student, int8."""

    output_dir: str = flag("output/glue", "folder with a folder for each task; table.md and .json go there")
