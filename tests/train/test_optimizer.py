"""Learning rates, a number a step, and what is decayed."""

import math

import numpy as np
import pytest
from mindspore import Parameter, Tensor

from src.config.train_config import TrainConfig
from src.train.optimizer import adam_weight_decay, bias_corrected, polynomial_schedule


def by_hand(total, peak, end, power, warmup_ratio):
    """BERT's schedule as a loop: warm-up counted from one, then polynomial decay."""
    warmup = math.ceil(total * warmup_ratio)
    rates = []
    for step in range(total):
        if step < warmup:
            rates.append(peak * (step + 1) / warmup)
        else:
            left = 1 - (step - warmup) / (total - warmup)
            rates.append((peak - end) * left**power + end)
    return rates


@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("warmup_ratio", [0.0, 0.1, 0.5, 1.0])
def test_schedule(total, power, warmup_ratio):
    schedule = polynomial_schedule(total, 5e-5, 1e-14, power, warmup_ratio)
    assert schedule.dtype == np.float32 and schedule.shape == (total,)
    np.testing.assert_allclose(schedule, by_hand(total, 5e-5, 1e-14, power, warmup_ratio), rtol=1e-6)
    assert schedule.max() == np.float32(5e-5) and schedule.min() > 0


def test_the_decay_ends_at_end_learning_rate():
    schedule = polynomial_schedule(1000, 1.0, 0.25, 1.0, 0.0)
    assert schedule[0] == 1.0 and schedule[500] == pytest.approx(0.625) and 0.25 < schedule[-1] < 0.2510


def test_layer_norm_and_bias_are_not_decayed():
    names = (
        "bert.encoder.0.attention.query.weight",
        "bert.encoder.0.attention.query.bias",
        "bert.encoder.0.attention_norm.weight",
        "bert.encoder.0.output_norm.bias",
        "bert.embeddings.norm.weight",
        "bert.embeddings.word_embeddings.weight",
        "classifier.bias",
        "hidden_projection.weight",
    )
    parameters = [Parameter(Tensor(np.ones(2, np.float32)), name=name) for name in names]
    optimizer = adam_weight_decay(parameters, [0.1, 0.1], TrainConfig(weight_decay=0.01))
    # The order of the gradients is that of the parameters, whatever the groups.
    assert [parameter.name for parameter in optimizer.parameters] == list(names)
    decay = dict(zip(names, optimizer.weight_decay, strict=True))
    assert {name for name, value in decay.items() if float(value)} == {names[0], names[5], names[7]}


def test_bias_correction_gives_adams_own_step():
    """Against torch's rule: m and v divided by 1 - beta^t, with an epsilon too small to matter."""
    rng, rate = np.random.default_rng(3), np.float64(1e-3)
    gradients, m, v = rng.standard_normal((50, 4)), np.zeros(4), np.zeros(4)
    schedule = bias_corrected(np.full(50, rate))
    for t, gradient in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        expected = rate * (m / (1 - 0.9**t)) / np.sqrt(v / (1 - 0.999**t))
        np.testing.assert_allclose(schedule[t - 1] * m / np.sqrt(v), expected, rtol=1e-6)
