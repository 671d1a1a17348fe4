"""ONNX files with random weights, as large and as fast as trained ones, for benchmarks without weights."""

from pathlib import Path

import numpy as np

from ...config.bert_config import PRESETS, BertConfig, preset
from ...config.quantization import Quantization
from ...errors import UserError, did_you_mean
from ...infer.onnx.bert import bert_model
from ...infer.onnx.calibration import calibrate_static
from ...infer.onnx.int8 import layers_of
from ...infer.onnx.session import OnnxModel
from ...weights.huggingface import expected_shapes
from ..model.inference import FILES, InferenceModel

RANDOM = "random:"
BASE = "bert-base"
PRECISIONS = {"fp32": None, "int8": Quantization(per_channel=True, static=True)}
LABELS = ("0", "1")


def random_config(name: str) -> BertConfig:
    """The BertConfig of a preset or of BERT-base, with two labels. Raises UserError for another name."""
    if name != BASE and name not in PRESETS:
        known = (BASE, *PRESETS)
        raise UserError(f'"{RANDOM}{name}" is not one of {", ".join(known)}{did_you_mean(name, known)}')
    return BertConfig(labels=LABELS) if name == BASE else preset(name, labels=LABELS)


def random_arrays(config: BertConfig) -> dict[str, np.ndarray]:
    """{Hugging Face name: float32 array} of normal weights, with mean 1 for the LayerNorm scales."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in expected_shapes(config).items():
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(config.initializer_range)
        arrays[name] = values + np.float32(name.endswith("LayerNorm.weight"))
    return arrays


def random_model(spec: str, folder: Path, threads: int) -> InferenceModel:
    """The InferenceModel of `random:PRESET` or `random:PRESET:int8`; its file is written to `folder`."""
    name, _, precision = spec.removeprefix(RANDOM).partition(":")
    if precision and precision not in PRECISIONS:
        raise UserError(f'"{spec}": precision {precision} is not one of {", ".join(PRECISIONS)}')
    config = random_config(name)
    arrays = random_arrays(config)
    quantization = PRECISIONS[precision or "fp32"]
    if quantization:
        ids = np.random.default_rng(0).integers(0, config.vocab_size, (1, 32))
        batch = (ids, np.zeros_like(ids), np.ones_like(ids))
        arrays = calibrate_static(config, arrays, [batch], quantization)
    file = folder / FILES["onnx"]
    file.write_bytes(bert_model(config, arrays, layers_of(quantization)).SerializeToString())
    return InferenceModel(OnnxModel(file, threads), config, file, precision or "fp32", any_shape=True)
