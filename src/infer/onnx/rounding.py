"""Ranges of inputs and integers of weights for static quantization, in NumPy.

Shape letters: T tokens, H input width, O output width.
"""

from collections.abc import Sequence

import numpy as np

BINS = 4096
CANDIDATES = 32  # clip values that are tried on each side
OUTLIER = 2.0
UNUSED = 0.01  # of the median channel
DAMPING = 0.01  # of the mean of the diagonal, as in GPTQ
BLOCK = 128


class Histogram:
    """How often the values of a tensor fall in each of `BINS` equal parts of [low, high], extended to 0."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = min(float(low), 0.0), max(float(high), 0.0)
        self.counts = np.zeros(BINS, np.int64)

    def add(self, x: np.ndarray) -> None:
        """Count the values of x, of any shape."""
        if self.high > self.low:
            self.counts += np.histogram(np.clip(x, self.low, self.high), BINS, (self.low, self.high))[0]

    def range(self, method: str, percentile: float = 100.0) -> tuple[float, float]:
        """(low, high) of the values that are not clipped.

        `method` max: all; percentile: without the outer 100 - percentile on either side; mse: with the
        least mean squared error of the 8-bit integers, rounding and clipping together.
        """
        if self.high == self.low:
            return 0.0, 0.0
        return {"max": self._all, "percentile": self._inner, "mse": self._least_error}[method](percentile)

    def _all(self, percentile: float) -> tuple[float, float]:
        return self.low, self.high

    def _inner(self, percentile: float) -> tuple[float, float]:
        shares = self.counts.cumsum() / max(self.counts.sum(), 1)
        edges = np.linspace(self.low, self.high, BINS + 1)
        outer = (100.0 - percentile) / 100.0
        low = edges[np.searchsorted(shares, outer, side="right")]
        high = edges[1 + np.searchsorted(shares, 1.0 - outer)]
        return min(float(low), 0.0), max(float(high), 0.0)

    def _least_error(self, percentile: float) -> tuple[float, float]:
        low, high = self.low, self.high
        shares = np.linspace(1.0, 1.0 / CANDIDATES, CANDIDATES)
        high = min((self._error(low, high * share), high * share) for share in shares)[1]
        low = min((self._error(low * share, high), low * share) for share in shares)[1]
        return low, high

    def _error(self, low: float, high: float) -> float:
        edges = np.linspace(self.low, self.high, BINS + 1)
        centers = (edges[1:] + edges[:-1]) / 2
        return float(self.counts @ (quantize_input(centers, *input_parameters(low, high)) - centers) ** 2)


def input_parameters(low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """(scale, zero point) of [low, high], low <= 0 <= high: float32 and uint8 scalars.

    scale = (high - low) / 255,   zero point = round(-low / scale);   scale 1 where the range is empty.
    """
    scale = np.float32((high - low) / 255.0) if high > low else np.float32(1)
    return np.asarray(scale), np.asarray(np.clip(np.rint(-low / scale), 0, 255).astype(np.uint8))


def quantize_input(x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    """x rounded to bytes and back: (clip(round(x / scale) + zero point, 0, 255) - zero point) * scale."""
    zero = np.float32(zero_point)
    return (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale


def smoothing_factors(magnitudes: np.ndarray, weights: Sequence[np.ndarray], alpha: float) -> np.ndarray:
    """Divisors [H] of an input's channels (SmoothQuant, Xiao et al. 2023, equation 4), with mean log 0.

        s_j = max|x_j|^alpha / max|w_j|^(1 - alpha)

    Parameters: `magnitudes` max|x| [H]; `weights` [O, H] of the layers that share the input. Channels that
    are zero, or next to it, have divisor 1: one that calibration rows hardly use would be clipped where other
    rows do.
    """
    largest = np.max([np.abs(weight).max(axis=0) for weight in weights], axis=0)
    used = (magnitudes > UNUSED * np.median(magnitudes)) & (largest > 0)
    logs = np.zeros(len(magnitudes))
    logs[used] = alpha * np.log(magnitudes[used]) - (1.0 - alpha) * np.log(largest[used])
    logs[used] -= logs[used].mean() if used.any() else 0.0
    return np.exp(logs).astype(np.float32)


def outlier_channels(magnitudes: np.ndarray, most: int) -> np.ndarray:
    """The channels, up to `most`, without which the range of an input would be less than half as wide.

    They are those over OUTLIER times the largest of the others. `magnitudes` max|x| [H] -> int64 [k].
    """
    if not 0 < most < len(magnitudes):
        return np.zeros(0, np.int64)
    bound = OUTLIER * np.sort(magnitudes)[-most - 1]
    return np.flatnonzero(magnitudes > bound)


def gptq(weight: np.ndarray, scale: np.ndarray, products: np.ndarray, qmax: int) -> np.ndarray:
    """Integers of a weight that minimize the error of its outputs (GPTQ, Frantar et al. 2023, algorithm 1).

    Columns are rounded one by one, those of the largest inputs first; what rounding changes in the outputs
    is made up for in the columns that follow.

    Parameters: `weight` [O, H]; `scale` [O, 1] or [1, 1]; `products` E[x x^T] [H, H] of its input; `qmax` the
    largest integer. Returns: int8 [O, H].
    """
    order = np.argsort(-np.diag(products), kind="stable")
    hessian = products[np.ix_(order, order)].astype(np.float64)
    diagonal = np.diag_indices(len(hessian))
    mean = hessian[diagonal].mean()
    hessian[diagonal] += DAMPING * mean if mean > 0 else 1.0
    inverse = np.linalg.cholesky(np.linalg.inv(hessian)).T  # upper triangular
    # Transposed, since a column of the weight is read and written at a time.
    left, steps = weight.T[order].astype(np.float64), scale[:, 0].astype(np.float64)
    integers = np.empty(left.shape, np.int8)
    for start in range(0, len(order), BLOCK):
        end = min(start + BLOCK, len(order))
        errors = np.empty((end - start, len(weight)))
        for column in range(start, end):
            rounded = np.clip(np.rint(left[column] / steps), -qmax, qmax)
            integers[order[column]] = rounded
            error = (left[column] - rounded * steps) / inverse[column, column]
            left[column:end] -= np.outer(inverse[column, column:end], error)
            errors[column - start] = error
        left[end:] -= inverse[start:end, end:].T @ errors
    return np.ascontiguousarray(integers.T)
