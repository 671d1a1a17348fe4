"""Fake quantization: floats rounded to the grid of an integer type and kept as floats (Zafrir et al. 2019).

    x_q = clip(round(x / scale), -M, M) * scale,   scale = threshold / M,   M = 2^(bits - 1) - 1

Ties round to even; a threshold of zero has the scale 1, so that zeros stay zeros. The gradient passes
straight through, d x_q / d x = 1 everywhere: also where x was clipped, as in the paper's section 2.2.

Shape letters: R rows, H width.
"""

import dataclasses
from collections.abc import Callable

import mindspore as ms
from mindspore import nn, ops

from ..config.quantization import levels
from ..errors import UserError, did_you_mean


class Largest(nn.Cell):
    """The largest magnitude of a tensor, or of each of its rows.

    Construct: x [R, H] -> [1], not finite where one of the numbers is not; `by_row` -> [R, 1].
    """

    def __init__(self, by_row=False):
        super().__init__()
        self.by_row = by_row

    def construct(self, x):
        magnitudes = ops.abs(x)
        if self.by_row:
            return ops.ReduceMax(keep_dims=True)(magnitudes, 1)
        # The maximum alone passes over NaN; x - x is zero for numbers only.
        return (ops.ReduceMax()(magnitudes) + (x - x).sum()).reshape(1)


class FakeQuantize(nn.Cell):
    """x rounded to a grid of `levels` (M) steps to each side of zero; what is not finite does not become so.

    Construct: x [R, H], threshold [1] or [R, 1] -> [R, H].
    """

    def __init__(self, levels):
        super().__init__()
        self.levels = float(levels)

    def construct(self, x, threshold):
        scale = ops.select(threshold > 0, threshold / self.levels, ops.ones_like(threshold))
        clipped = ops.clamp(ops.round(x / scale), -self.levels, self.levels)
        # Clipping alone would hide an overflow, by which a step is to be skipped: x - x shows it.
        return clipped * scale + (x - x)

    def bprop(self, x, threshold, out, upstream):
        return upstream, ops.zeros_like(threshold)


@dataclasses.dataclass(frozen=True)
class Operators:
    """Constructors of what quantizers compute with: cells as Largest (by_row) and FakeQuantize (levels)."""

    largest: Callable = Largest
    fake_quantize: Callable = FakeQuantize


PLAIN = Operators()


class Symmetric(nn.Cell):
    """The paper's symmetric linear quantization (section 2.1).

    `measure` takes from a whole weight what `construct` needs of it, so that an embedding need not quantize
    the rows that nobody looks up. Construct: x [R, H], threshold [1] or [R, 1] -> [R, H].
    """

    def __init__(self, bits, by_row=False, operators=PLAIN):
        super().__init__()
        self.largest = operators.largest(by_row)
        self.fake_quantize = operators.fake_quantize(levels(bits))

    def measure(self, weight):
        """The threshold max|W|: weight [R, H] -> [1], by row [R, 1]."""
        return self.largest(ops.stop_gradient(weight).astype(ms.float32))

    def construct(self, x, threshold):
        return self.fake_quantize(x.astype(ms.float32), threshold)


# How weights are quantized, by name: constructors (bits, by_row, operators) of cells as Symmetric.
QUANTIZERS = {"symmetric": Symmetric}


def weight_quantizer(name, bits, by_row, operators):
    """The quantizer called `name` in QUANTIZERS. Raises UserError when there is none."""
    if name not in QUANTIZERS:
        known = ", ".join(QUANTIZERS)
        raise UserError(f'quantizer "{name}" is not one of {known}{did_you_mean(name, QUANTIZERS)}')
    return QUANTIZERS[name](bits, by_row, operators)
