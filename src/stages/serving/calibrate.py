"""Static post-training quantization: a float model gets what an int8 file requires."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ...commands import command_line
from ...config.fields import not_default
from ...config.quantization import FLOAT_CHANNELS, SCALE, Quantization
from ...data import splits
from ...data.dataloader import SortedDataLoader
from ...errors import UserError
from ...infer.onnx.calibration import CalibrationOptions, calibrate_static
from ..model.load import ModelFiles

if TYPE_CHECKING:
    from ...tools.export import ExportConfig

# The inputs of all layers are in memory at a time: 4 GB for BERT-base and 32 rows of 512 tokens.
BATCH_TOKENS, MOST_ROWS = 2048, 32
FLAGS = (
    *("calibration_data", "calibration_rows", "calibration_method", "calibration_percentile"),
    *("smooth", "outlier_channels", "weight_rounding", "per_channel"),
)


def calibrate(files: ModelFiles, config: ExportConfig) -> ModelFiles:
    """Quantize a float model to 8 bits by its inputs over some rows."""
    if not config.calibration_data:
        raise UserError(
            f"{files.source} has no input ranges, which int8 requires; train it with "
            f"{command_line('q8bert_train')}, or measure them on records with --calibration_data"
        )
    dataset = splits.read_split(config, config.calibration_data, "train")
    splits.check_models(dataset, [(files.config, files.tokenizer_dir)], None, config.calibration_data)
    dataset = splits.sample_rows(dataset, config.calibration_rows, lambda text: None)
    batch_size = min(max(BATCH_TOKENS // int(dataset.lengths.max()), 1), MOST_ROWS)
    batches = [batch[:3] for batch in SortedDataLoader(dataset, batch_size, equal=True).epoch()]
    quantization = Quantization(per_channel=config.per_channel, static=True)
    arrays = calibrate_static(files.config, files.arrays, batches, quantization, options_of(config))
    layers = [name for name in arrays if name.endswith(f".{SCALE}")]
    in_float = sum(array.size for name, array in arrays.items() if name.endswith(f".{FLOAT_CHANNELS}"))
    print(
        f"calibration: inputs of {len(layers)} layers over {dataset.rows} rows of {config.calibration_data}; "
        f"{described(config)}; {in_float} input channels stay in float32"
    )
    return dataclasses.replace(files, arrays=arrays, config=files.config.replace(quantization=quantization))


def options_of(config: ExportConfig) -> CalibrationOptions:
    """The CalibrationOptions of the flags."""
    return CalibrationOptions(
        config.calibration_method,
        config.calibration_percentile,
        config.smooth,
        config.outlier_channels,
        config.weight_rounding,
    )


def described(config: ExportConfig) -> str:
    """The flags of calibration in words."""
    method = config.calibration_method
    if method == "percentile":
        method = f"percentile {config.calibration_percentile:g}"
    return f"ranges by {method}, smoothing {config.smooth:g}, weights by {config.weight_rounding}"


def calibration_flags(config: ExportConfig) -> str:
    """The flags of calibration that an ExportConfig has other than by default, separated by commas."""
    return ", ".join(f"--{name}" for name in not_default(config, FLAGS))
