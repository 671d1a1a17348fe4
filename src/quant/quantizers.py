"""Fake quantization: floats rounded to the grid of an integer type and kept as floats (Zafrir et al. 2019).

    x_q = clip(round(x / scale), -qmax - 1, qmax) * scale
    scale = clip_value / qmax,   qmax = 2^(bits - 1) - 1

The paper's lower end is -qmax; the integer below it lets an int8 file do without a clipping operator. Weights
lie within their clip value and never reach it. Ties round to even; a clip value of zero has the scale 1, so
that zeros stay zeros. The gradient passes straight through, d x_q / d x = 1 everywhere, also where x was
clipped, as in section 2.2 of the paper.

Shape letters: R rows, H width.
"""

import dataclasses
from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, nn, ops

from ..config.quantization import qmax
from ..errors import UserError, did_you_mean


class AbsMax(nn.Cell):
    """The maximum of |x|, or that of each row.

    Construct: x [R, H] -> [1], not finite where an element is not; `per_row` -> [R, 1].
    """

    def __init__(self, per_row: bool = False) -> None:
        super().__init__()
        self.per_row = per_row

    def construct(self, x: Tensor) -> Tensor:
        magnitudes = ops.abs(x)
        if self.per_row:
            return ops.ReduceMax(keep_dims=True)(magnitudes, 1)
        # ReduceMax ignores NaN; x - x is zero for finite numbers only.
        return (ops.ReduceMax()(magnitudes) + (x - x).sum()).reshape(1)


class FakeQuantize(nn.Cell):
    """x rounded to the integers -qmax - 1 to qmax times the scale; elements that are not finite stay so.

    Construct: x [R, H], clip_value [1] or [R, 1] -> [R, H].
    """

    def __init__(self, qmax: int) -> None:
        super().__init__()
        self.qmax = float(qmax)

    def construct(self, x: Tensor, clip_value: Tensor) -> Tensor:
        scale = ops.select(clip_value > 0, clip_value / self.qmax, ops.ones_like(clip_value))
        clipped = ops.clamp(ops.round(x / scale), -self.qmax - 1.0, self.qmax)
        # Clipping would hide an overflow, for which the step has to be skipped: x - x reveals it.
        return clipped * scale + (x - x)

    def bprop(self, x: Tensor, clip_value: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, Tensor]:
        return dout, ops.zeros_like(clip_value)


@dataclasses.dataclass(frozen=True)
class Operators:
    """Constructors of the quantizers' operators: cells as AbsMax (per_row) and FakeQuantize (qmax)."""

    abs_max: Callable = AbsMax
    fake_quantize: Callable = FakeQuantize


PLAIN = Operators()


class Symmetric(nn.Cell):
    """Symmetric linear quantization (section 2.1 of the paper).

    The clip value is computed from the whole weight, so that an embedding quantizes only the rows it looks
    up. Construct: x [R, H], clip_value [1] or [R, 1] -> [R, H].
    """

    def __init__(self, bits: int, per_row: bool = False, operators: Operators = PLAIN) -> None:
        super().__init__()
        self.abs_max = operators.abs_max(per_row)
        self.fake_quantize = operators.fake_quantize(qmax(bits))

    def clip_value(self, weight: Tensor) -> Tensor:
        """max|W|: weight [R, H] -> [1], per row [R, 1]."""
        return self.abs_max(ops.stop_gradient(weight).astype(ms.float32))

    def construct(self, x: Tensor, clip_value: Tensor) -> Tensor:
        return self.fake_quantize(x.astype(ms.float32), clip_value)


# Weight quantizers by name: constructors (bits, per_row, operators) of cells as Symmetric.
QUANTIZERS: dict[str, Callable[..., nn.Cell]] = {"symmetric": Symmetric}


def weight_quantizer(name: str, bits: int, per_row: bool, operators: Operators) -> nn.Cell:
    """The quantizer called `name` in QUANTIZERS. Raises UserError if there is none."""
    if name not in QUANTIZERS:
        known = ", ".join(QUANTIZERS)
        raise UserError(f'quantizer "{name}" is not one of {known}{did_you_mean(name, QUANTIZERS)}')
    return QUANTIZERS[name](bits, per_row, operators)
