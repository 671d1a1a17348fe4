"""How long one sentence takes, measured as a service would feel it: batch of one, median of many calls."""
import statistics
import time

WARM_UP = 8   # the first five to seven calls of a graph are slower by a third and more


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
