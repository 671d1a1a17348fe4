"""Flags of python -m src.tools.compare."""

import dataclasses

from .fields import POSITIVE, flag, required_flag
from .train_config import RecordsConfig


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
