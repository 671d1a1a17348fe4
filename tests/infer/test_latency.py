"""Latency measurement."""

import time

import numpy as np

from src.infer.latency import WARM_UP, median_latency_ms


def test_every_shape_is_warmed_up_and_the_median_taken():
    calls = []

    def predict(ids):
        calls.append(ids.shape)
        time.sleep(0.05 if len(calls) == 2 * WARM_UP + 1 else 0.002)  # one outlier among the timed calls

    sentences = [(np.zeros((1, length)),) for length in (8, 16, 8, 16, 8)]
    assert 1.5 < median_latency_ms(predict, sentences) < 20
    assert calls[:WARM_UP] == [(1, 8)] * WARM_UP and len(calls) == 2 * WARM_UP + 5
