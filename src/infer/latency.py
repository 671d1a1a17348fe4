"""Latency of single sentences as in serving: batch size one, median over many calls."""

import gc
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

WARM_UP = 8  # the first five to seven calls of a graph are at least a third slower


def median_latency_ms(
    predict: Callable[..., object], sentences: Sequence[Sequence[np.ndarray]], warm_up: int = WARM_UP
) -> float:
    """Median milliseconds of one call.

    predict     function of one sentence's arrays that returns once its result is in host memory
    sentences   one tuple of arrays per call, each a batch of one; every shape is warmed up before timing
    """
    for sentence in {tuple(array.shape for array in arrays): arrays for arrays in sentences}.values():
        for _ in range(warm_up):
            predict(*sentence)
    times = []
    for arrays in sentences:
        start = time.perf_counter()
        predict(*arrays)
        times.append(time.perf_counter() - start)
    return 1000.0 * statistics.median(times)


def interleaved_latencies_ms(
    calls: Sequence[Callable[[], object]], repeats: int, warm_up: int = WARM_UP
) -> np.ndarray:
    """Times of several functions called in turn, so that background load affects all of them alike.

    `calls` are functions without arguments that return once their result is in host memory.
    Returns: [calls, repeats] float64, column r from round r. Garbage collection is off during the rounds.
    """
    times = np.zeros((len(calls), repeats))
    for call in calls:
        for _ in range(warm_up):
            call()
    gc_was_enabled = gc.isenabled()
    gc.disable()
    try:
        for repeat in range(repeats):
            for index, call in enumerate(calls):
                start = time.perf_counter()
                call()
                times[index, repeat] = time.perf_counter() - start
    finally:
        if gc_was_enabled:
            gc.enable()
    return 1000.0 * times
