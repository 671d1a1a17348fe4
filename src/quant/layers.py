"""The operators of quantized dense layers and embeddings, and the ranges of their inputs.

QuantMatMul replaces the product of a dense layer, QuantLookup the lookup of an embedding; each is passed the
operator it replaces. Shape letters: R rows, H width, O output width, V vocabulary.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..config.quantization import RANGE, Quantization
from .quantizers import PLAIN, Operators, Symmetric, weight_quantizer


class QuantMatMul(nn.Cell):
    """A product of fake-quantized factors: weights clipped at their own maximum, inputs at a stored range.

    In training the range is the exponential moving average of max|x| over the batches, initialized by the
    first one and updated before it is used; in calibration (`calibration_mode`) it is the maximum over the
    batches; in evaluation it is constant. Batches whose maximum is not finite are ignored.

    Construct: x [R, H], weight [O, H] -> [R, O]. `product` is a cell as model.layers.MatMul.
    """

    def __init__(self, quantization: Quantization, product: nn.Cell, operators: Operators = PLAIN) -> None:
        super().__init__()
        self.product = product
        self.weight_bits, self.activation_bits = quantization.weight_bits, quantization.activation_bits
        if self.weight_bits:
            name, per_row = quantization.quantizer, quantization.per_channel
            self.weight_quantizer = weight_quantizer(name, self.weight_bits, per_row, operators)
        if self.activation_bits:
            self.input_quantizer = Symmetric(self.activation_bits, operators=operators)
            self.input_threshold = Parameter(Tensor(np.zeros(1, np.float32)), name=RANGE, requires_grad=False)
        self.calibrating = self.bound = self.distributed = False

    def bind(self, decay: float, all_reduce_max: nn.Cell | None = None) -> None:
        """Make the range trainable: `decay` of its moving average, the maximum over the ranks if several."""
        self.gain = 1.0 - decay
        self.distributed = all_reduce_max is not None
        if all_reduce_max is not None:
            self.all_reduce_max = all_reduce_max
        self.bound = True

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.activation_bits:
            x = self.input_quantizer(x, self.clip_value(x))
        if self.weight_bits:
            weight = self.weight_quantizer(weight, self.weight_quantizer.clip_value(weight))
        return self.product(x, weight)

    def clip_value(self, x: Tensor) -> Tensor:
        """The range of x [R, H], [1]; updated first in training and calibration."""
        if not (self.training or self.calibrating):
            return self.input_threshold
        if not self.bound:
            raise ValueError("the range of a quantized layer has no decay: call bind_ranges before training")
        abs_max, old = self.input_quantizer.clip_value(x), self.input_threshold * 1.0
        if self.distributed:
            abs_max = self.all_reduce_max(abs_max)
        if self.calibrating:
            new = ops.maximum(old, abs_max)
        else:
            new = ops.select(old > 0, old + (abs_max - old) * self.gain, abs_max)
        return ops.assign(self.input_threshold, ops.select(ops.isfinite(abs_max), new, old))


class QuantLookup(nn.Cell):
    """Rows of an embedding table, fake-quantized with the range of the whole table.

    Construct: table [V, H], ids [R] int32 -> [R, H]. `lookup` is a cell as model.layers.EmbeddingLookup.
    """

    def __init__(self, quantization: Quantization, lookup: nn.Cell, operators: Operators = PLAIN) -> None:
        super().__init__()
        self.lookup = lookup
        name, bits = quantization.quantizer, quantization.embedding_bits
        self.quantizer = weight_quantizer(name, bits, False, operators)

    def construct(self, table: Tensor, ids: Tensor) -> Tensor:
        return self.quantizer(self.lookup(table, ids), self.quantizer.clip_value(table))


def quantized_matmuls(network: nn.Cell) -> list[QuantMatMul]:
    """The QuantMatMuls of a network whose inputs are quantized, in order."""
    cells = (cell for _, cell in network.cells_and_names() if isinstance(cell, QuantMatMul))
    return [cell for cell in cells if cell.activation_bits]


def bind_ranges(network: nn.Cell, decay: float, all_reduce_max: nn.Cell | None = None) -> None:
    """Bind the range of every quantized product of a network; required before training and calibration."""
    for cell in quantized_matmuls(network):
        cell.bind(decay, all_reduce_max)


@contextlib.contextmanager
def calibration_mode(network: nn.Cell) -> Iterator[None]:
    """Within the block, forward passes compiled there widen the ranges to the inputs' maximum."""
    cells = quantized_matmuls(network)
    for cell in cells:
        cell.calibrating = True
    try:
        yield
    finally:
        for cell in cells:
            cell.calibrating = False
