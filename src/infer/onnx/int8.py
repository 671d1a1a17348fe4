"""Quantized layers of an ONNX graph: integers in the file, QuantizeLinear, DequantizeLinear at the products.

The scheme is Q8BERT's (Zafrir et al. 2019, section 2): symmetric, M = 2^(bits-1) - 1, step = threshold / M,
q = clip(round(x / step), -M, M), rounding half to even. A runtime that knows the pattern DequantizeLinear,
DequantizeLinear, MatMul multiplies the integers themselves.
"""

from functools import partial

import numpy as np

from ...config.quantization import RANGE, levels
from ...errors import UserError
from .bert import FloatLayers

# Inputs are bytes q + 128, as x86 multiplies unsigned by signed bytes; the number meant is the same.
INPUT_ZERO = np.uint8(128)


def step_of(threshold, bits):
    """The step between two neighbours, float32; 1 where the threshold is zero, as all values then are."""
    threshold = np.asarray(threshold, np.float32)
    return np.where(threshold > 0, threshold / np.float32(levels(bits)), np.float32(1)).astype(np.float32)


def quantize(array, step, bits):
    """float32 array -> int8 array of the same shape; `step` a scalar or what broadcasts."""
    limit = levels(bits)
    return np.clip(np.rint(array / step), -limit, limit).astype(np.int8)


class Int8Layers(FloatLayers):
    """As FloatLayers, with the groups of tensors that a Quantization names in integers.

    `arrays` hold the float weights and, for each dense layer with a quantized input, its input_threshold.
    """

    def __init__(self, graph, arrays, quantization):
        super().__init__(graph, arrays)
        self.quantization, self.rounded_inputs = quantization, {}

    def multiply(self, x, name):
        scheme = self.quantization
        if name == "classifier" and not scheme.quantize_classifier:
            return super().multiply(x, name)
        if scheme.activation_bits:
            x = self._rounded(x, name)
        if not scheme.weight_bits:
            return super().multiply(x, name)
        weight = self._weight(name, scheme)
        return self.graph.add("MatMul", x, weight, name=f"{name}.product")

    def embed(self, name, op, *inputs):
        bits = self.quantization.embedding_bits
        if not bits:
            return super().embed(name, op, *inputs)
        array = self.arrays[f"{name}.weight"]
        step = step_of(np.abs(array).max(), bits)
        table = self.graph.constant(f"{name}.weight", quantize(array, step, bits))
        rows = self.graph.add(op, table, *inputs, name=f"{name}.integers")
        return self._dequantize(rows, f"{name}.weight", step, name)

    def _weight(self, name, scheme):
        array = self.arrays[f"{name}.weight"]
        threshold = np.abs(array).max(axis=1) if scheme.per_channel else np.abs(array).max()
        step = step_of(threshold, scheme.weight_bits)
        integers = self.graph.constant(f"{name}.weight", quantize(array.T, step, scheme.weight_bits))
        axis = {"axis": 1} if scheme.per_channel else {}
        return self._dequantize(integers, f"{name}.weight", step, f"{name}.weight.float", **axis)

    def _rounded(self, x, name):
        """x to integers and back, once for all layers that share x and its threshold."""
        bits, threshold = self.quantization.activation_bits, self._threshold(name)
        if (x, threshold) not in self.rounded_inputs:
            graph, base, limit = self.graph, f"{name}.input", levels(bits)
            scale = graph.constant(f"{base}.step", step_of(threshold, bits))
            zero = graph.constant("input.zero", INPUT_ZERO)
            integers = graph.add("QuantizeLinear", x, scale, zero, name=f"{base}.unclipped")
            # On bytes, after the rounding: a clip of x itself would take five times as long.
            ends = [graph.constant(f"input.{end:+}", np.uint8(INPUT_ZERO + end)) for end in (-limit, limit)]
            integers = graph.add("Clip", integers, *ends, name=f"{base}.integers")
            rounded = graph.add("DequantizeLinear", integers, scale, zero, name=base)
            self.rounded_inputs[x, threshold] = rounded
        return self.rounded_inputs[x, threshold]

    def _threshold(self, name):
        value = self.arrays.get(f"{name}.{RANGE}")
        if value is None or not value.item() > 0:
            raise UserError(
                f"{name} has no range of its input; train with run_q8bert_train.py, or give "
                "records to measure the ranges on: --calibration_data"
            )
        return value.item()

    def _dequantize(self, integers, weight, step, name, **axis):
        # A zero point left out is zero.
        scale = self.graph.constant(f"{weight}.step", step)
        return self.graph.add("DequantizeLinear", integers, scale, name=name, **axis)


def layers_of(quantization):
    """The layers of a model that is quantized so (None: FloatLayers), for `bert_graph`."""
    return FloatLayers if quantization is None else partial(Int8Layers, quantization=quantization)
