"""The operators of quantized dense layers and embeddings, and the ranges of their inputs.

A dense layer of the model multiplies with QuantProduct instead of its own product, an embedding looks up with
QuantLookup; both are handed what they replace. Shape letters: R rows, H width, O output width, V vocabulary.
"""

import contextlib

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..config.quantization import RANGE
from .quantizers import PLAIN, Symmetric, weight_quantizer


class QuantProduct(nn.Cell):
    """A product of fake-quantized factors: weights by their largest magnitude, inputs by a kept range.

    In training the range is the exponential moving average of max|x| over the batches (the first one
    initialises it), updated before it is used; in calibration (`calibration_mode`) the plain maximum; in
    evaluation it stays as it is. A batch whose maximum is not finite never enters it.

    Construct: x [R, H], weight [O, H] -> what `product` makes of the two, quantized. `quantization` is a
    Quantization, `product` a cell as model.layers.MatMul.
    """

    def __init__(self, quantization, product, operators=PLAIN):
        super().__init__()
        self.product = product
        self.weight_bits, self.activation_bits = quantization.weight_bits, quantization.activation_bits
        if self.weight_bits:
            kind, by_row = quantization.quantizer, quantization.per_channel
            self.weights = weight_quantizer(kind, self.weight_bits, by_row, operators)
        if self.activation_bits:
            self.inputs = Symmetric(self.activation_bits, operators=operators)
            self.input_threshold = Parameter(Tensor(np.zeros(1, np.float32)), name=RANGE, requires_grad=False)
        self.calibrating = self.bound = self.shared = False

    def bind(self, decay, share=None):
        """Train the range: `decay` of its moving average; `share` the maximum over all ranks, if several."""
        self.gain = 1.0 - decay
        self.shared = share is not None
        if self.shared:
            self.share = share
        self.bound = True

    def construct(self, x, weight):
        if self.activation_bits:
            x = self.inputs(x, self.threshold(x))
        if self.weight_bits:
            weight = self.weights(weight, self.weights.measure(weight))
        return self.product(x, weight)

    def threshold(self, x):
        """The range to quantize x [R, H] with, [1]; moved first where this is a step that moves it."""
        if not (self.training or self.calibrating):
            return self.input_threshold
        if not self.bound:
            raise ValueError("the range of a quantized layer has no decay: call bind_ranges before training")
        largest, before = self.inputs.measure(x), self.input_threshold * 1.0
        if self.shared:
            largest = self.share(largest)
        if self.calibrating:
            after = ops.maximum(before, largest)
        else:
            after = ops.select(before > 0, before + (largest - before) * self.gain, largest)
        return ops.assign(self.input_threshold, ops.select(ops.isfinite(largest), after, before))


class QuantLookup(nn.Cell):
    """Rows of a table, fake-quantized by the largest magnitude of the whole table.

    Construct: table [V, H], ids [R] int32 -> [R, H]. `lookup` is a cell as model.layers.EmbeddingLookup.
    """

    def __init__(self, quantization, lookup, operators=PLAIN):
        super().__init__()
        self.lookup = lookup
        self.rows = weight_quantizer(quantization.quantizer, quantization.embedding_bits, False, operators)

    def construct(self, table, ids):
        return self.rows(self.lookup(table, ids), self.rows.measure(table))


def quantized_products(network):
    """The QuantProducts of a network whose inputs are quantized, in order."""
    cells = (cell for _, cell in network.cells_and_names() if isinstance(cell, QuantProduct))
    return [cell for cell in cells if cell.activation_bits]


def bind_ranges(network, decay, share=None):
    """Bind the range of every quantized product of a network; called before training and calibration."""
    for cell in quantized_products(network):
        cell.bind(decay, share)


@contextlib.contextmanager
def calibration_mode(network):
    """Inside the block a pass of a cell that is compiled there widens the ranges to what it sees."""
    cells = quantized_products(network)
    for cell in cells:
        cell.calibrating = True
    try:
        yield
    finally:
        for cell in cells:
            cell.calibrating = False
