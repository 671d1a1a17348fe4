"""Flags of `python -m src.tools.evaluate`."""

import dataclasses

from .data_config import RecordsConfig
from .fields import flag, required_flag


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(RecordsConfig):
    """Evaluate a model folder on every row of a task's evaluation records; prints one JSON line."""

    model_dir: str = required_flag(
        "model folder (best/ or last/ of a run, or any Hugging Face folder with a head)"
    )
    eval_data_dir: str = required_flag(
        "evaluation records: a file, a comma list or a folder that prepare wrote"
    )
    output_dir: str = flag("", "where eval_results.json goes (default: model_dir)")
    write_predictions: str = flag(
        "", "folder for GLUE's submission files, one for each test file of the records (empty: none)"
    )
