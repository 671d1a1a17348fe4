"""Flags of python -m src.tools.export."""

import dataclasses

from .fields import POSITIVE, option, required
from .train_config import FormatConfig


@dataclasses.dataclass(frozen=True)
class ExportConfig(FormatConfig):
    """Write a model as one file for serving, in a folder that holds all it needs and nothing else."""

    model_dir: str = required(
        "model folder (best/ or last/ of a run, or any Hugging Face folder with a head)"
    )
    output_dir: str = required("folder to write")
    format: str = option(
        "onnx", "onnx: for ONNX Runtime and its like; mindir: MindSpore's own, fp32 only", ("onnx", "mindir")
    )
    precision: str = option(
        "fp32",
        "int8 keeps embeddings and dense layers as integers, which a runtime multiplies as such",
        ("fp32", "int8"),
    )
    calibration_data: str = option(
        "", "records on which the input ranges of a float model are measured (int8; a folder's train split)"
    )
    calibration_rows: int = option(512, "rows of calibration_data to take, a fixed sample", must=POSITIVE)
    per_channel: bool = option(False, "with calibration_data: a weight range for each output of a layer")
    eval_data_dir: str = option(
        "", "records on which file and model are compared (a folder's dev split; default: random rows)"
    )
    compare_rows: int = option(1000, "rows of eval_data_dir to compare, from the first", must=POSITIVE)
    overwrite_output_dir: bool = option(False, "delete what an earlier run wrote to output_dir")
