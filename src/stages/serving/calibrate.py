"""Post-training quantization: a float model gets the 8-bit ranges that an int8 file requires."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ...commands import command_line
from ...config.quantization import Quantization
from ...data import splits
from ...data.dataloader import SortedDataLoader
from ...errors import UserError
from ...infer.onnx.calibration import measure_ranges
from ..model.load import ModelFiles

if TYPE_CHECKING:
    from ...tools.export import ExportConfig

CALIBRATION_BATCH = 32


def calibrate(files: ModelFiles, config: ExportConfig) -> ModelFiles:
    """Quantize a float model to 8 bits; a range is the largest |input| of a dense layer over some rows."""
    if not config.calibration_data:
        raise UserError(
            f"{files.source} has no input ranges, which int8 requires; train it with "
            f"{command_line('q8bert_train')}, or measure them on records with --calibration_data"
        )
    dataset = splits.read_split(config, config.calibration_data, "train")
    splits.check_models(dataset, [(files.config, files.tokenizer_dir)], None, config.calibration_data)
    dataset = splits.sample_rows(dataset, config.calibration_rows, lambda text: None)
    batches = SortedDataLoader(dataset, CALIBRATION_BATCH, equal=True).epoch()
    ranges = measure_ranges(files.config, files.arrays, (batch[:3] for batch in batches))
    print(
        f"ranges: the largest inputs of {len(ranges)} layers over {dataset.rows} rows of "
        f"{config.calibration_data}"
    )
    quantized = files.config.replace(quantization=Quantization(per_channel=config.per_channel))
    return dataclasses.replace(files, arrays={**files.arrays, **ranges}, config=quantized)
