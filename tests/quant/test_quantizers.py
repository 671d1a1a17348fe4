"""Quantizers against NumPy, number for number; their gradient; what is not finite."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.errors import UserError
from src.quant.quantizers import PLAIN, Symmetric, weight_quantizer
from tests.quant import by_hand


class Quantized(nn.Cell):
    """A tensor quantized by its own largest magnitude, weighed to a scalar."""

    def __init__(self, quantizer):
        super().__init__()
        self.quantizer = quantizer

    def construct(self, x, weights):
        quantized = self.quantizer(x, self.quantizer.measure(x))
        return (quantized * weights).sum(), quantized


class Summed(nn.Cell):
    """The sum of what a quantizer makes of x."""

    def __init__(self, quantizer):
        super().__init__()
        self.quantizer = quantizer

    def construct(self, x, threshold):
        return self.quantizer(x, threshold).sum()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_number_of_bits(operators, bits):
    """Rounding inside the range, clipping outside of it, ties to the even side."""
    threshold, levels = np.float32(1.5), 2 ** (bits - 1) - 1
    step = by_hand.scale_of(threshold, bits)
    ties = (np.arange(-levels - 2, levels + 2, dtype=np.float32) + np.float32(0.5)) * step
    x = np.concatenate([normal(300), ties, [0, threshold, -threshold, 100, -100]]).astype(np.float32)
    found = Symmetric(bits, operators=operators)(Tensor(x[None]), Tensor([threshold])).asnumpy()[0]
    np.testing.assert_array_equal(found, by_hand.fake_quantize(x, threshold, bits))
    assert len(np.unique(found)) <= 2 * levels + 1 and np.abs(found).max() == pytest.approx(threshold)


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("rows, width", [(5, 7), (200, 96)])
def test_weights_and_the_straight_gradient(operators, by_row, rows, width):
    weight, weights = normal(rows, width), normal(rows, width, seed=1)
    weight[1] = 0.0  # a channel of zeros stays zeros
    cell = Quantized(Symmetric(8, by_row, operators))
    gradient = ms.value_and_grad(cell, 0, has_aux=True)
    (_, found), slope = gradient(Tensor(weight), Tensor(weights))
    np.testing.assert_array_equal(found.asnumpy(), by_hand.quantize_weight(weight, 8, by_row))
    np.testing.assert_array_equal(slope.asnumpy(), weights)


def test_the_gradient_passes_where_x_was_clipped(operators):
    x, threshold = np.array([[-9.0, -0.3, 0.2, 9.0]], np.float32), np.ones(1, np.float32)
    slope = ms.grad(Summed(Symmetric(4, operators=operators)))(Tensor(x), Tensor(threshold))
    np.testing.assert_array_equal(slope.asnumpy(), np.ones((1, 4), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (37, 90)])
def test_what_is_not_finite_is_seen(operators, value, place):
    """The largest magnitude is not finite then, nor is the number after rounding; its neighbours are."""
    x = normal(200, 96)
    x[place] = value
    quantizer = Symmetric(8, operators=operators)
    assert not np.isfinite(quantizer.largest(Tensor(x)).asnumpy()).any()
    rounded = quantizer(Tensor(x), Tensor(np.ones(1, np.float32))).asnumpy()
    assert not np.isfinite(rounded[place]) and np.isfinite(rounded).sum() == x.size - 1


def test_zeros_stay_zeros(operators):
    quantizer, zeros = Symmetric(8, operators=operators), Tensor(np.zeros((3, 4), np.float32))
    threshold = quantizer.measure(zeros)
    assert threshold.asnumpy() == 0 and not quantizer(zeros, threshold).asnumpy().any()


def test_a_quantizer_that_is_no_row_of_the_table():
    with pytest.raises(UserError, match='"symetric" is not one of symmetric; did you mean "symmetric"'):
        weight_quantizer("symetric", 8, False, PLAIN)
