"""Fake quantization in NumPy, the reference of the tests."""

import numpy as np


def integers(x, threshold, bits):
    """The integers that `x` is rounded to; `threshold` a number, or one for each row."""
    largest = 2 ** (bits - 1) - 1
    return np.clip(np.rint(x / scale_of(threshold, bits)), -largest, largest)


def scale_of(threshold, bits):
    """The step of the grid, float32; 1 where the threshold is zero."""
    threshold = np.asarray(threshold, np.float32)
    return np.where(threshold > 0, threshold / np.float32(2 ** (bits - 1) - 1), np.float32(1))


def fake_quantize(x, threshold, bits):
    """`x` on the grid of its threshold, float32."""
    return (integers(x, threshold, bits) * scale_of(threshold, bits)).astype(np.float32)


def quantize_weight(weight, bits, per_channel=False):
    """A weight on the grid of its largest magnitude."""
    largest = np.abs(weight).max(axis=1, keepdims=True) if per_channel else np.abs(weight).max()
    return fake_quantize(weight, largest, bits)
