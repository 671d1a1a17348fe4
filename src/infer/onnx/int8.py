"""Quantized layers of an ONNX graph: integer weights, QuantizeLinear and DequantizeLinear at the products.

The scheme is Q8BERT's (Zafrir et al. 2019, section 2): symmetric, M = 2^(bits-1) - 1, scale = clip value / M,
q = clip(round(x / scale), -M - 1, M), rounding half to even. A runtime that recognizes the pattern
DequantizeLinear, DequantizeLinear, MatMul multiplies the integers themselves.
"""

from functools import partial

import numpy as np

from ...commands import command_line
from ...config.quantization import RANGE, Quantization, qmax
from ...errors import UserError
from .bert import Arrays, FloatLayers, Graph, LayerFactory

# Inputs are stored as q + 128, since x86 multiplies unsigned by signed bytes.
INPUT_ZERO = np.uint8(128)


def scale_of(clip_value: np.ndarray | float, bits: int) -> np.ndarray:
    """The quantization scale, float32; 1 where the clip value is zero, since all values then are."""
    clip_value = np.asarray(clip_value, np.float32)
    scale = clip_value / np.float32(qmax(bits))
    return np.where(clip_value > 0, scale, np.float32(1)).astype(np.float32)


def quantize(array: np.ndarray, scale: np.ndarray, bits: int) -> np.ndarray:
    """float32 array -> int8 array of the same shape; `scale` is broadcast."""
    limit = qmax(bits)
    return np.clip(np.rint(array / scale), -limit, limit).astype(np.int8)


class Int8Layers(FloatLayers):
    """FloatLayers with the tensor groups of a Quantization in integers.

    `arrays` contain the float weights and, for each dense layer with a quantized input, its input_threshold.
    """

    def __init__(self, graph: Graph, arrays: Arrays, quantization: Quantization) -> None:
        super().__init__(graph, arrays)
        self.quantization = quantization
        self.quantized_inputs: dict[tuple[str, float], str] = {}

    def matmul(self, x: str, name: str) -> str:
        scheme = self.quantization
        if not scheme.quantizes(name):
            return super().matmul(x, name)
        if scheme.activation_bits:
            x = self._quantized_input(x, name)
        if not scheme.weight_bits:
            return super().matmul(x, name)
        return self.graph.add("MatMul", x, self._weight(name), name=f"{name}.product")

    def embedding(self, name: str, op: str, *inputs: str) -> str:
        bits = self.quantization.embedding_bits
        if not bits or not self.quantization.quantizes(name):
            return super().embedding(name, op, *inputs)
        array = self.arrays[f"{name}.weight"]
        scale = scale_of(np.abs(array).max(), bits)
        table = self.graph.constant(f"{name}.weight", quantize(array, scale, bits))
        rows = self.graph.add(op, table, *inputs, name=f"{name}.integers")
        return self._dequantize(rows, f"{name}.weight", scale, name)

    def _weight(self, name: str) -> str:
        array, bits = self.arrays[f"{name}.weight"], self.quantization.weight_bits
        per_channel = self.quantization.per_channel
        scale = scale_of(np.abs(array).max(axis=1 if per_channel else None), bits)
        integers = self.graph.constant(f"{name}.weight", quantize(array.T, scale, bits))
        axis = {"axis": 1} if per_channel else {}
        return self._dequantize(integers, f"{name}.weight", scale, f"{name}.weight.float", **axis)

    def _quantized_input(self, x: str, name: str) -> str:
        """x quantized and dequantized, once for all layers that share x and its clip value."""
        bits, clip_value = self.quantization.activation_bits, self._clip_value(name)
        if (x, clip_value) not in self.quantized_inputs:
            graph, prefix, limit = self.graph, f"{name}.input", qmax(bits)
            scale = graph.constant(f"{prefix}.step", scale_of(clip_value, bits))
            zero = graph.constant("input.zero", np.asarray(INPUT_ZERO))
            integers = graph.add("QuantizeLinear", x, scale, zero, name=f"{prefix}.integers")
            if bits < 8:  # QuantizeLinear itself clips to the bytes
                bounds = [
                    graph.constant(f"input.{end:+}", np.array(INPUT_ZERO + end, np.uint8))
                    for end in (-limit - 1, limit)
                ]
                integers = graph.add("Clip", integers, *bounds, name=f"{prefix}.clipped")
            self.quantized_inputs[x, clip_value] = graph.add(
                "DequantizeLinear", integers, scale, zero, name=prefix
            )
        return self.quantized_inputs[x, clip_value]

    def _clip_value(self, name: str) -> float:
        value = self.arrays.get(f"{name}.{RANGE}")
        if value is None or not value.item() > 0:
            raise UserError(
                f"{name} has no input range; train with {command_line('q8bert_train')}, or measure the "
                "ranges with --calibration_data"
            )
        return value.item()

    def _dequantize(self, integers: str, weight: str, scale: np.ndarray, name: str, **axis: int) -> str:
        # The default zero point is zero.
        scale_name = self.graph.constant(f"{weight}.step", scale)
        return self.graph.add("DequantizeLinear", integers, scale_name, name=name, **axis)


def layers_of(quantization: Quantization | None) -> LayerFactory:
    """The layer constructor for `bert_graph`; FloatLayers without quantization."""
    return FloatLayers if quantization is None else partial(Int8Layers, quantization=quantization)
