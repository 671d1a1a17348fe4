"""The products in bfloat16: those of NumPy in float64 with factors rounded bit by bit."""

import mindspore as ms
import numpy as np
import pytest

from src.config.bert_config import BertConfig
from src.kernels import layers as kernels
from src.kernels import operators
from tests.kernels.test_parity import normal, outputs_and_gradients

pytestmark = pytest.mark.usefixtures("graph_mode")


@pytest.fixture
def product(library):
    if not operators.has_bf16_products(library):
        pytest.skip("no products in bfloat16 on this processor")
    return kernels.Bf16MatMul(str(library), BertConfig())


def rounded(x):
    """x rounded to 8 significant bits, ties to even, in float64."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    return np.ldexp(np.rint(mantissa * 2**8), exponent - 8)


@pytest.mark.parametrize("rows, width, out", [(1, 1, 1), (3, 5, 7), (37, 312, 2), (130, 96, 257)])
def test_product_and_gradients(product, rows, width, out):
    x, weight, upstream = normal(rows, width), normal(out, width, seed=1), normal(rows, out, seed=2)
    found = outputs_and_gradients(product, (x, weight), [upstream])
    x, weight, upstream = map(rounded, (x, weight, upstream))
    expected = (x @ weight.T, upstream @ weight, upstream.T @ x)
    # Sums of float32: exact products of 8-bit factors, rounded to 24 bits as they are added.
    for ours, exact in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, exact, rtol=0, atol=2e-6 * max(1.0, np.abs(exact).max()))


def test_values_that_are_not_numbers(product):
    x = np.array([[np.nan, 1.0], [np.inf, 1.0], [-np.inf, 1.0], [3.4e38, 1.0]], np.float32)
    found = product(ms.Tensor(x), ms.Tensor(np.array([[1.0, 0.0]], np.float32))).asnumpy()[:, 0]
    # The largest float32 numbers are nearer to the bfloat16 after the last than to the last.
    np.testing.assert_array_equal(found, np.array([np.nan, np.inf, -np.inf, np.inf], np.float32))
