"""Quantizers against NumPy, number for number; their gradient; what is not finite."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from src.config import q8bert_config
from src.errors import UserError
from src.quant.quantizers import PLAIN, QUANTIZERS, Symmetric, weight_quantizer
from tests.quant import by_hand


class Quantized(nn.Cell):
    """A tensor quantized by its own absolute maximum, weighted to a scalar."""

    def __init__(self, quantizer):
        super().__init__()
        self.quantizer = quantizer

    def construct(self, x, weights):
        quantized = self.quantizer(x, self.quantizer.clip_value(x))
        return (quantized * weights).sum(), quantized


class Summed(nn.Cell):
    """The sum of what a quantizer makes of x."""

    def __init__(self, quantizer):
        super().__init__()
        self.quantizer = quantizer

    def construct(self, x, clip_value):
        return self.quantizer(x, clip_value).sum()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_number_of_bits(operators, bits):
    """Rounding inside the range, clipping outside of it, ties to the even side."""
    clip_value, qmax = np.float32(1.5), 2 ** (bits - 1) - 1
    step = by_hand.scale_of(clip_value, bits)
    ties = (np.arange(-qmax - 2, qmax + 2, dtype=np.float32) + np.float32(0.5)) * step
    x = np.concatenate([normal(300), ties, [0, clip_value, -clip_value, 100, -100]]).astype(np.float32)
    found = Symmetric(bits, operators=operators)(Tensor(x[None]), Tensor([clip_value])).asnumpy()[0]
    np.testing.assert_array_equal(found, by_hand.fake_quantize(x, clip_value, bits))
    assert len(np.unique(found)) <= 2**bits and found.max() == pytest.approx(clip_value)
    assert found.min() == pytest.approx(-clip_value - step)


@pytest.mark.parametrize("per_row", [False, True])
@pytest.mark.parametrize("rows, width", [(5, 7), (200, 96)])
def test_weights_and_the_straight_gradient(operators, per_row, rows, width):
    weight, weights = normal(rows, width), normal(rows, width, seed=1)
    weight[1] = 0.0  # a channel of zeros stays zeros
    cell = Quantized(Symmetric(8, per_row, operators))
    gradient = ms.value_and_grad(cell, 0, has_aux=True)
    (_, found), slope = gradient(Tensor(weight), Tensor(weights))
    np.testing.assert_array_equal(found.asnumpy(), by_hand.quantize_weight(weight, 8, per_row))
    np.testing.assert_array_equal(slope.asnumpy(), weights)


def test_the_gradient_passes_where_x_was_clipped(operators):
    x, clip_value = np.array([[-9.0, -0.3, 0.2, 9.0]], np.float32), np.ones(1, np.float32)
    slope = ms.grad(Summed(Symmetric(4, operators=operators)))(Tensor(x), Tensor(clip_value))
    np.testing.assert_array_equal(slope.asnumpy(), np.ones((1, 4), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [(0, 0), (37, 90)])
def test_what_is_not_finite_is_seen(operators, value, place):
    """The absolute maximum is not finite then, nor is the number after rounding; its neighbours are."""
    x = normal(200, 96)
    x[place] = value
    quantizer = Symmetric(8, operators=operators)
    assert not np.isfinite(quantizer.abs_max(Tensor(x)).asnumpy()).any()
    rounded = quantizer(Tensor(x), Tensor(np.ones(1, np.float32))).asnumpy()
    assert not np.isfinite(rounded[place]) and np.isfinite(rounded).sum() == x.size - 1


def test_zeros_stay_zeros(operators):
    quantizer, zeros = Symmetric(8, operators=operators), Tensor(np.zeros((3, 4), np.float32))
    clip_value = quantizer.clip_value(zeros)
    assert clip_value.asnumpy() == 0 and not quantizer(zeros, clip_value).asnumpy().any()


def test_the_flag_has_the_names_of_the_table():
    assert q8bert_config.QUANTIZERS == tuple(QUANTIZERS)


def test_a_quantizer_that_is_no_row_of_the_table():
    with pytest.raises(UserError, match='"symetric" is not one of symmetric; did you mean "symmetric"'):
        weight_quantizer("symetric", 8, False, PLAIN)
