"""Fake quantization in NumPy, the reference of the tests."""

import numpy as np


def integers(x, clip_value, bits):
    """The integers that `x` is rounded to; `clip_value` a number, or one for each row."""
    qmax = 2 ** (bits - 1) - 1
    return np.clip(np.rint(x / scale_of(clip_value, bits)), -qmax - 1, qmax)


def scale_of(clip_value, bits):
    """The step of the grid, float32; 1 where the clip_value is zero."""
    clip_value = np.asarray(clip_value, np.float32)
    return np.where(clip_value > 0, clip_value / np.float32(2 ** (bits - 1) - 1), np.float32(1))


def fake_quantize(x, clip_value, bits):
    """`x` on the grid of its clip_value, float32."""
    return (integers(x, clip_value, bits) * scale_of(clip_value, bits)).astype(np.float32)


def quantize_weight(weight, bits, per_channel=False):
    """A weight on the grid of its absolute maximum."""
    abs_max = np.abs(weight).max(axis=1, keepdims=True) if per_channel else np.abs(weight).max()
    return fake_quantize(weight, abs_max, bits)
