"""Flags of python -m src.tools.compare."""
import dataclasses

from src.config.options import option, required
from src.config.train_config import DATASET_TYPES


@dataclasses.dataclass(frozen=True)
class CompareConfig:
    """Several models on the same records: quality, size and speed in one table, losses in one plot."""

    models: str = required("model directories by name; the first is the reference: teacher=DIR,student=DIR")
    task_name: str = required("GLUE task, or sample for the built-in one")
    eval_data_dir: str = required("evaluation records: a file, a comma list or a folder that prepare wrote")
    output_dir: str = required("where compare.json, table.md and losses.png go")
    dataset_type: str = option("tfrecord", "format of the records", DATASET_TYPES)
    device_target: str = option("auto", "device; auto takes the best that is there",
                                ("auto", "CPU", "GPU", "Ascend"))
    device_id: int = option(0, "which of the machine's devices")
    eval_batch_size: int = option(32, "rows a batch in evaluation")
    timed_sentences: int = option(200, "sentences timed, one at a time")
    overwrite_output_dir: bool = option(False, "delete what output_dir holds")
