"""How long one sentence takes, measured as a service would feel it: batch of one, median of many calls."""

import gc
import statistics
import time

import numpy as np

WARM_UP = 8  # the first five to seven calls of a graph are slower by a third and more


def milliseconds_a_sentence(predict, sentences):
    """Median milliseconds of one call.

    predict     a function of one sentence's arrays that returns only when its result is in host memory
    sentences   one tuple of arrays a call, each a batch of one; every shape is warmed up before the
                clock starts
    """
    for sentence in {tuple(array.shape for array in arrays): arrays for arrays in sentences}.values():
        for _ in range(WARM_UP):
            predict(*sentence)
    times = []
    for arrays in sentences:
        begun = time.perf_counter()
        predict(*arrays)
        times.append(time.perf_counter() - begun)
    return 1000.0 * statistics.median(times)


def interleaved_milliseconds(calls, repeats, warm_up=WARM_UP):
    """Times of several functions, called in turn, so that whatever else the machine does falls on all alike.

    `calls` are functions without arguments that return only when their result is in host memory.
    Returns: [calls, repeats] float64, column r from round r. Garbage is not collected inside the rounds.
    """
    times = np.zeros((len(calls), repeats))
    for call in calls:
        for _ in range(warm_up):
            call()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(repeats):
            for place, call in enumerate(calls):
                begun = time.perf_counter()
                call()
                times[place, turn] = time.perf_counter() - begun
    finally:
        if collecting:
            gc.enable()
    return 1000.0 * times
