"""python -m src.tools.export: export a model folder to ONNX (fp32, int8) or MindIR, and verify the file."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import FormatConfig
from ..config.fields import NOT_NEGATIVE, POSITIVE, SHARE, Check, flag, required_flag
from ..config.migration.zoo_config import ZooTaskConfig
from ..errors import run_main

PERCENT: Check = ("above 50 and up to 100", lambda value: 50 < value <= 100)
DROP: Check = ("0 or more, or -1", lambda value: value >= 0 or value == -1)


@dataclasses.dataclass(frozen=True)
class ExportConfig(ZooTaskConfig, FormatConfig):
    """Export a model to a single file for serving, in a self-contained folder."""

    model_dir: str = required_flag(
        "model folder: best/ or last/ of a run, or a Hugging Face BERT with a classification head; "
        "or a .ckpt of the model zoo with config_path",
        alias="ckpt_file",
    )
    output_dir: str = required_flag("output folder", alias="file_name")
    task_name: str = flag("", "task that names the outputs of a .ckpt described by config_path")
    format: str = flag(
        "onnx",
        "onnx: for ONNX Runtime; mindir: MindSpore's format, fp32 only; air: for CANN's tools, Ascend only",
        ("onnx", "mindir", "air"),
        alias="file_format",
    )
    precision: str = flag(
        "fp32",
        "int8: integer weights and matrix multiplications; int8-dynamic: the same with input ranges computed "
        "at run time, which needs no calibration_data",
        ("fp32", "int8", "int8-dynamic"),
    )
    layout: str = flag(
        "flat",
        "hub: write onnx/model.onnx (int8: onnx/model_quantized.onnx), as transformers.js and optimum expect",
        ("flat", "hub"),
    )
    overwrite_output_dir: bool = flag(False, "delete files that an earlier run wrote to output_dir")
    calibration_data: str = flag(
        "",
        "records for calibrating activation ranges of a float model, int8 only (the train split of a folder)",
        group="quantization",
    )
    calibration_rows: int = flag(
        512,
        "rows of calibration_data to use, a fixed random sample",
        check=POSITIVE,
        group="quantization",
    )
    calibration_method: str = flag(
        "max",
        "range of a layer's inputs. max: all values; percentile: those within calibration_percentile; mse: "
        "with the least squared error",
        ("max", "percentile", "mse"),
        group="quantization",
    )
    calibration_percentile: float = flag(
        99.999, "values within a range by percentile", check=PERCENT, group="quantization"
    )
    smooth: float = flag(
        0.8,
        "SmoothQuant's alpha: how much of the differences between input channels goes into the weights (0: "
        "none)",
        check=SHARE,
        group="quantization",
    )
    outlier_channels: int = flag(
        4,
        "most input channels of a layer that stay in float32 where they are outliers",
        check=NOT_NEGATIVE,
        group="quantization",
    )
    weight_rounding: str = flag(
        "gptq",
        "rounding of the weights. gptq: least error of a layer's outputs; nearest: of each weight",
        ("gptq", "nearest"),
        group="quantization",
    )
    per_channel: bool = flag(True, "per-channel weight ranges, with calibration_data", group="quantization")
    eval_data_dir: str = flag(
        "",
        "records for verifying the file against the model (the dev split of a folder; default: random rows)",
        group="data",
    )
    max_drop: float = flag(
        -1.0,
        "points of the task's metric that int8 may cost on eval_data_dir; the most sensitive layers stay in "
        "float32 until that holds (-1: any)",
        check=DROP,
        group="quantization",
    )
    compare_rows: int = flag(1000, "leading rows of eval_data_dir to compare", check=POSITIVE, group="data")


def main(argv: Sequence[str] | None = None) -> None:
    """Export the model."""
    resolved = parse(ExportConfig, argv, prog=command_line("export"))
    from ..stages.serving.export import export

    export(resolved.config, resolved.networks.get("student"))


if __name__ == "__main__":
    run_main(main)
