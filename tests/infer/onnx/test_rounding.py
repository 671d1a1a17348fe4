"""Ranges, smoothing factors and GPTQ against their definitions."""

import numpy as np
import pytest

from src.infer.onnx.rounding import (
    Histogram,
    gptq,
    input_parameters,
    outlier_channels,
    quantize_input,
    smoothing_factors,
)


def values(seed=0):
    """GELU outputs: many small ones, few large ones."""
    x = np.random.default_rng(seed).standard_normal(20_000).astype(np.float32) ** 3
    return np.maximum(x, -0.17)


def ranges(x, method, percentile=100.0):
    histogram = Histogram(x.min(), x.max())
    for part in np.array_split(x, 3):
        histogram.add(part)
    return histogram.range(method, percentile)


def error(x, low, high):
    scale = (high - low) / 255
    zero = round(-low / scale)
    return np.mean(((np.clip(np.round(x / scale) + zero, 0, 255) - zero) * scale - x) ** 2)


@pytest.mark.parametrize("method", ["max", "percentile", "mse"])
def test_an_input_of_zeros_has_an_empty_range(method):
    """That of a ReLU without any positive input."""
    assert ranges(np.zeros(8, np.float32), method, 99.9) == (0.0, 0.0)


def test_values_beyond_the_range_count_at_its_ends():
    histogram = Histogram(-1.0, 1.0)
    histogram.add(np.array([-1.1, 0.5, 1.2, 3.0]))
    assert histogram.counts[[0, -1]].tolist() == [1, 2] and histogram.counts.sum() == 4


def test_max_and_percentile():
    x = values()
    assert ranges(x, "max") == (pytest.approx(x.min()), pytest.approx(x.max()))
    low, high = ranges(x, "percentile", 99.9)
    width = (x.max() - x.min()) / 4096
    assert low == pytest.approx(-0.17, abs=2 * width)  # that of more than 0.1 %
    assert np.mean(x > high) <= 0.001 <= np.mean(x > high - 2 * width)
    assert ranges(np.array([2.0, 3.0]), "max") == (0.0, 3.0)


def test_mse_is_the_least_error():
    x = np.random.default_rng(0).standard_normal(400_000)
    x[0] = 20.0
    low, high = ranges(x, "mse")
    least = min(error(x, x.min(), x.max() * share) for share in np.linspace(0.2, 1.0, 41))
    assert error(x, low, high) < 1.05 * least < 0.8 * error(x, x.min(), x.max())


def test_input_parameters():
    scale, zero = input_parameters(-1.0, 4.1)
    assert scale == np.float32(0.02) and zero == 50 and (scale.dtype, zero.dtype) == (np.float32, np.uint8)
    np.testing.assert_allclose(quantize_input(np.float32([-9, 0, 0.031, 9]), scale, zero), [-1, 0, 0.04, 4.1])
    assert input_parameters(0.0, 0.0) == (1.0, 0)


@pytest.mark.parametrize("unused", [0.0, 1e-6])
def test_smoothing_factors(unused):
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal((50, 6)), [rng.standard_normal((4, 6)) for _ in range(2)]
    x[:, 2], weights[0][:, 4], weights[1][:, 4] = unused, 0.0, 0.0
    found = smoothing_factors(np.abs(x).max(axis=0), weights, 0.5)
    largest = np.abs(np.concatenate(weights)).max(axis=0)
    used = [0, 1, 3, 5]
    expected = np.sqrt(np.abs(x).max(axis=0)[used] / largest[used])
    np.testing.assert_allclose(found[used] / found[0], expected / expected[0], rtol=1e-5)
    assert found[2] == found[4] == 1.0


def test_outlier_channels():
    magnitudes = np.array([1.0, 9.0, 1.5, 1.4, 3.1])
    np.testing.assert_array_equal(outlier_channels(magnitudes, 2), [1, 4])
    np.testing.assert_array_equal(outlier_channels(magnitudes, 1), [1])
    assert not outlier_channels(magnitudes, 0).size and not outlier_channels(np.ones(8), 3).size


def obq(weight, scale, inverse, qmax):
    """Optimal brain quantization of one row, with its inverse Hessian updated after each column."""
    row, inverse, integers = weight.astype(float), inverse.copy(), []
    for column in range(len(row)):
        integers.append(np.clip(np.round(row[column] / scale), -qmax, qmax))
        change = (row[column] - integers[-1] * scale) / inverse[column, column]
        row -= change * inverse[:, column]
        inverse -= np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
    return integers


def test_gptq():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 150)) @ rng.standard_normal((150, 150)) * np.linspace(2.0, 1.0, 150)
    weight = rng.standard_normal((3, 150)).astype(np.float32)
    scale = np.abs(weight).max(axis=1, keepdims=True) / np.float32(7)
    products = x.T @ x / len(x)
    order = np.argsort(-np.diag(products))
    x, weight, products = x[:, order], weight[:, order], products[np.ix_(order, order)]
    found = gptq(weight, scale, products, 7)
    damped = products + 0.01 * np.diag(products).mean() * np.eye(150)
    for row in range(3):
        expected = obq(weight[row], float(scale[row, 0]), np.linalg.inv(damped), 7)
        assert np.mean(found[row] == expected) > 0.97  # a tie may fall either way, and moves what follows
    nearest = np.clip(np.round(weight / scale), -7, 7)
    errors = [np.mean((x @ (integers * scale - weight).T) ** 2) for integers in (found, nearest)]
    assert errors[0] < 0.5 * errors[1] and np.abs(found).max() == 7


def test_gptq_of_independent_inputs_is_rounding_to_nearest():
    weight = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
    scale = np.full((1, 1), 0.1, np.float32)
    found = gptq(weight, scale, np.diag(np.arange(9.0)), 127)
    np.testing.assert_array_equal(found, np.round(weight / scale))
