"""Quantized layers of an ONNX graph: integer weights, QuantizeLinear and DequantizeLinear at the products.

Weights are rounded as in Q8BERT (Zafrir et al. 2019, section 2): symmetric, M = 2^(bits-1) - 1, scale = clip
value / M, q = clip(round(w / scale), -M, M), rounding half to even. Inputs are

    q = clip(round(x / scale) + zero point, 0, 255)

with 128 as zero point after training (q - 128 then is Q8BERT's integer), a calibrated one in static
quantization. A runtime that recognizes the pattern DequantizeLinear, DequantizeLinear, MatMul multiplies the
integers themselves.
"""

from functools import partial

import numpy as np
from onnx import TensorProto

from ...commands import command_line
from ...config.quantization import (
    CORRECTION,
    FLOAT_CHANNELS,
    INTEGERS,
    RANGE,
    SCALE,
    SMOOTHING,
    ZERO_POINT,
    Quantization,
    qmax,
)
from ...errors import UserError
from .bert import Arrays, FloatLayers, Graph, LayerFactory

# Inputs are unsigned, since x86 multiplies unsigned by signed bytes.
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


def quantizable_weight(
    arrays: Arrays, name: str, quantization: Quantization
) -> tuple[np.ndarray, np.ndarray]:
    """(weight [O, H] that is rounded, its scale [O, 1] or [1, 1]) of a dense layer.

    It is the layer's own weight times the divisor of its input, and zero for channels in float32.
    """
    weight = arrays[f"{name}.weight"] * arrays.get(f"{name}.{SMOOTHING}", np.float32(1))
    if f"{name}.{FLOAT_CHANNELS}" in arrays:
        weight = weight.copy()
        weight[:, arrays[f"{name}.{FLOAT_CHANNELS}"]] = 0.0
    clip_value = np.abs(weight).max(axis=1 if quantization.per_channel else None, keepdims=True)
    return weight, scale_of(clip_value, quantization.weight_bits)


class Int8Layers(FloatLayers):
    """FloatLayers with the tensor groups of a Quantization in integers.

    `arrays` contain the float weights and, for each dense layer with a quantized input, its input_threshold,
    or the arrays of its static quantization. With `simulated` the weights are floats that have the values of
    the integers, as a reference.
    """

    def __init__(
        self, graph: Graph, arrays: Arrays, quantization: Quantization, simulated: bool = False
    ) -> None:
        super().__init__(graph, arrays)
        self.quantization, self.simulated = quantization, simulated
        self.quantized_inputs: dict[tuple[str, bytes], str] = {}

    def dense(self, x: str, *names: str) -> list[str]:
        outputs = super().dense(x, *names)
        return [self._add_float_channels(out, x, name) for out, name in zip(outputs, names, strict=True)]

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
        array, by_column = self.arrays[f"{name}.weight"], self.quantization.post_training
        scale = scale_of(np.abs(array).max(axis=0 if by_column else None), bits)
        table = self.graph.constant(f"{name}.weight", quantize(array, scale, bits))
        rows = self.graph.add(op, table, *inputs, name=f"{name}.integers")
        if not by_column:
            return self._dequantize(rows, f"{name}.weight", scale, name)
        # DequantizeLinear along an axis is slower, by 2 % of a small model's time.
        floats = self.graph.add("Cast", rows, name=f"{name}.cast", to=TensorProto.FLOAT)
        return self.graph.add("Mul", floats, self.graph.constant(f"{name}.weight.step", scale), name=name)

    def bias(self, name: str) -> np.ndarray:
        return super().bias(name) - self.arrays.get(f"{name}.{CORRECTION}", np.float32(0))

    def weight_integers(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(int8 weight [O, H], its scale [O, 1] or [1, 1]) of a dense layer."""
        weight, scale = quantizable_weight(self.arrays, name, self.quantization)
        integers = self.arrays.get(f"{name}.{INTEGERS}")
        return quantize(weight, scale, self.quantization.weight_bits) if integers is None else integers, scale

    def _weight(self, name: str) -> str:
        integers, scale = self.weight_integers(name)
        if self.simulated:
            return self.graph.constant(f"{name}.weight", (integers * scale).T)
        axis = {"axis": 1} if self.quantization.per_channel else {}
        scale = scale[:, 0] if axis else scale[0, 0]
        table = self.graph.constant(f"{name}.weight", integers.T)
        return self._dequantize(table, f"{name}.weight", scale, f"{name}.weight.float", **axis)

    def _quantized_input(self, x: str, name: str) -> str:
        """x divided, quantized and dequantized, once for all layers that share x and its parameters."""
        bits, (scale, zero_point) = self.quantization.activation_bits, self._input_parameters(name)
        smoothing = self.arrays.get(f"{name}.{SMOOTHING}")
        numbers = (scale, zero_point) if smoothing is None else (scale, zero_point, smoothing)
        key = (x, b"".join(value.tobytes() for value in numbers))
        if key not in self.quantized_inputs:
            graph, prefix, limit = self.graph, f"{name}.input", qmax(bits)
            if smoothing is not None:
                factor = graph.constant(f"{prefix}.factor", 1.0 / smoothing)
                x = graph.add("Mul", x, factor, name=f"{prefix}.smoothed")
            constants = (
                graph.constant(f"{prefix}.step", scale),
                graph.constant(f"{prefix}.zero", zero_point),
            )
            integers = graph.add("QuantizeLinear", x, *constants, name=f"{prefix}.integers")
            if bits < 8:  # QuantizeLinear itself clips to the bytes
                bounds = [
                    graph.constant(f"input.{end:+}", np.array(INPUT_ZERO + end, np.uint8))
                    for end in (-limit - 1, limit)
                ]
                integers = graph.add("Clip", integers, *bounds, name=f"{prefix}.clipped")
            self.quantized_inputs[key] = graph.add("DequantizeLinear", integers, *constants, name=prefix)
        return self.quantized_inputs[key]

    def _input_parameters(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(scale, zero point) of a layer's input, scalars."""
        if self.quantization.static:
            return self.arrays[f"{name}.{SCALE}"], self.arrays[f"{name}.{ZERO_POINT}"]
        value = self.arrays.get(f"{name}.{RANGE}")
        if value is None or not value.item() > 0:
            raise UserError(
                f"{name} has no input range; measure them with {command_line('q8bert_train')} --epoch_num 0"
            )
        return scale_of(value.item(), self.quantization.activation_bits), np.asarray(INPUT_ZERO)

    def _add_float_channels(self, out: str, x: str, name: str) -> str:
        """`out` plus the product of the channels in float32 (LLM.int8, Dettmers et al. 2022)."""
        channels = self.arrays.get(f"{name}.{FLOAT_CHANNELS}")
        if channels is None:
            return out
        graph, prefix = self.graph, f"{name}.float_channels"
        weight = graph.constant(f"{prefix}.weight", self.arrays[f"{name}.weight"][:, channels].T)
        columns = graph.add("Gather", x, graph.constant(prefix, channels), name=f"{prefix}.input", axis=-1)
        product = graph.add("MatMul", columns, weight, name=f"{prefix}.product")
        return graph.add("Add", out, product, name=f"{prefix}.sum")

    def _dequantize(self, integers: str, weight: str, scale: np.ndarray, name: str, **axis: int) -> str:
        # The default zero point is zero.
        scale_name = self.graph.constant(f"{weight}.step", scale)
        return self.graph.add("DequantizeLinear", integers, scale_name, name=name, **axis)


def layers_of(quantization: Quantization | None, simulated: bool = False) -> LayerFactory:
    """The layer constructor for `bert_graph`; FloatLayers without quantization."""
    if quantization is None:
        return FloatLayers
    return partial(Int8Layers, quantization=quantization, simulated=simulated)
