"""The ONNX file of a model's weights, in float32 or in integers."""

from __future__ import annotations

import dataclasses

from ...infer.onnx.bert import LayerFactory, bert_model
from ...infer.onnx.dynamic import dynamic_layers
from ...infer.onnx.int8 import layers_of
from ...infer.onnx.metadata import add_metadata
from ...weights.huggingface import drop_projection, without_ranges
from ..model.load import ModelFiles


def onnx_bytes(files: ModelFiles, simulated: bool = False) -> bytes:
    """The file of a model, in float32 or as its quantization says.

    With `simulated` its integers are multiplied as floats of the same values, as a reference.
    """
    quantization = files.config.quantization
    if quantization is not None and quantization.dynamic:
        return _bytes(files, dynamic_layers(quantization, simulated))
    return _bytes(files, layers_of(quantization, simulated))


def _bytes(files: ModelFiles, layers: LayerFactory) -> bytes:
    model = bert_model(files.config, files.arrays, layers)
    add_metadata(model, files.config)
    return model.SerializeToString()


def without_quantization(files: ModelFiles) -> ModelFiles:
    """A model in float32: without bits, ranges and projection."""
    arrays = without_ranges(drop_projection(files.arrays))
    return dataclasses.replace(files, arrays=arrays, config=files.config.replace(quantization=None))
