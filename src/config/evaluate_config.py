"""Flags of `python -m src.tools.evaluate`, which task distillation shares."""

import dataclasses

from .data_config import RecordsConfig
from .fields import flag, required_flag
from .migration.zoo_config import ZooTaskConfig
from .migration.zoo_recipe import RecipeConfig


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(ZooTaskConfig, RecipeConfig, RecordsConfig):
    """Evaluate a model folder on all evaluation records of a task and print one JSON line."""

    model_dir: str = required_flag(
        "model folder: best/ or last/ of a run, or a Hugging Face BERT with a classification head",
        group="model",
    )
    eval_data_dir: str = required_flag(
        "evaluation records: a file, a comma-separated list, or a folder written by prepare"
    )
    output_dir: str = flag("", "folder for eval_results.json (default: model_dir)")
    write_predictions: str = flag(
        "", "folder for GLUE submission files, one per test file of the records (empty: none)"
    )
