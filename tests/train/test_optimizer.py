"""Learning rates, a number a step, and what is decayed."""

import math
from functools import partial

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from src.config.train_config import TrainConfig
from src.kernels import operators
from src.train.optimizer import adam_weight_decay, polynomial_schedule


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


@pytest.mark.parametrize("total, warmup_ratio", [(30, 0.1), (7, 0.1), (20, 0.0)])
def test_the_schedule_of_the_model_zoo(total, warmup_ratio):
    # Its BertLearningRate: WarmUpLR below int(total * ratio) steps, PolynomialDecayLR over all of them.
    peak, end, warmup = 5e-5, 1e-14, int(total * warmup_ratio)
    decay = nn.PolynomialDecayLR(peak, end, total, 1.0)
    expected = [
        nn.WarmUpLR(peak, warmup)(Tensor(step)) if step < warmup else decay(Tensor(step))
        for step in range(total)
    ]
    schedule = polynomial_schedule(total, peak, end, 1.0, warmup_ratio, decay_from="start")
    np.testing.assert_allclose(schedule, [float(rate) for rate in expected], rtol=1e-5)
    assert (schedule[0] == 0) == (warmup > 0)


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


STEPS, RATE, EPS, DECAY = 20, 0.01, 1e-6, 0.05
SHAPES = {"layer.weight": (17, 33), "layer.bias": (33,), "norm.weight": (5,)}


def draw(seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in SHAPES.values()]


def make_parameters():
    return [Parameter(Tensor(value), name=name) for name, value in zip(SHAPES, draw(0), strict=True)]


def own_optimizer(fused=None, bias_correction=False):
    config = TrainConfig(weight_decay=DECAY, eps=EPS, bias_correction=bias_correction)
    return adam_weight_decay(make_parameters(), [RATE] * STEPS, config, fused)


def framework_optimizer():
    parameters = make_parameters()
    groups = [
        {"params": parameters[:1], "weight_decay": DECAY},
        {"params": parameters[1:], "weight_decay": 0.0},
        {"order_params": parameters},
    ]
    return nn.AdamWeightDecay(groups, [RATE] * STEPS, 0.9, 0.999, EPS)


def draw_gradients(step, scale=1.0):
    return [np.float32(scale) * gradient for gradient in draw(1 + step)]


def run_steps(optimizer, takes_factor=True, scale=1.0):
    """{name: state after STEPS steps} by gradients of which each is multiplied by 0.5."""
    for step in range(STEPS):
        gradients = tuple(map(Tensor, draw_gradients(step, scale)))
        if takes_factor:
            optimizer(gradients, Tensor(0.5, ms.float32))
        else:
            optimizer(tuple(ops.mul(gradient, 0.5) for gradient in gradients))
    return {name: parameter.asnumpy() for name, parameter in optimizer.parameters_and_names()}


def test_bit_equal_to_the_optimizer_of_the_framework(graph_mode):
    """nn.AdamWeightDecay is deprecated; its numbers and the names of its state stay."""
    own, framework = run_steps(own_optimizer()), run_steps(framework_optimizer(), takes_factor=False)
    assert list(own) == list(framework) and int(own["global_step"][0]) == STEPS
    for name, value in framework.items():
        np.testing.assert_array_equal(own[name], value, err_msg=name)


@pytest.fixture(params=[False, True], ids=["framework", "fused"])
def fused(request):
    """None, or the operator that updates all parameters."""
    return partial(operators.adam_weight_decay, request.getfixturevalue("library")) if request.param else None


@pytest.mark.parametrize("bias_correction", [False, True])
def test_twenty_steps_by_hand(graph_mode, fused, bias_correction):
    """Devlin et al. 2019, with bias correction Kingma & Ba 2015, in NumPy: decoupled decay, none on bias and
    LayerNorm."""
    own = run_steps(own_optimizer(fused, bias_correction))
    beta1, beta2 = map(float, np.array([0.9, 0.999], np.float32))
    weights = [value.astype(np.float64) for value in draw(0)]
    m, v = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    for step in range(STEPS):
        for i, gradient in enumerate(draw(1 + step)):
            gradient = 0.5 * gradient.astype(np.float64)
            m[i] = beta1 * m[i] + (1 - beta1) * gradient
            v[i] = beta2 * v[i] + (1 - beta2) * gradient**2
            decay = DECAY * weights[i] if i == 0 else 0.0
            c1, c2 = (1 - beta1 ** (step + 1), 1 - beta2 ** (step + 1)) if bias_correction else (1.0, 1.0)
            weights[i] = weights[i] - RATE * (m[i] / c1 / (np.sqrt(v[i] / c2) + EPS) + decay)
    for i, name in enumerate(SHAPES):
        for prefix, expected in (("", weights[i]), ("adam_m.", m[i]), ("adam_v.", v[i])):
            actual = own[prefix + name]
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6, err_msg=prefix + name)


@pytest.mark.reference
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_twenty_steps_of_pytorch(graph_mode, fused, scale):
    """Also with gradients as small as epsilon."""
    torch = pytest.importorskip("torch")
    own = run_steps(own_optimizer(fused, bias_correction=True), scale=scale)
    weights = [torch.nn.Parameter(torch.from_numpy(value)) for value in draw(0)]
    groups = [{"params": weights[:1], "weight_decay": DECAY}, {"params": weights[1:], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, RATE, eps=EPS)
    for step in range(STEPS):
        for weight, gradient in zip(weights, draw_gradients(step, scale), strict=True):
            weight.grad = 0.5 * torch.from_numpy(gradient)
        optimizer.step()
    for name, weight in zip(SHAPES, weights, strict=True):
        np.testing.assert_allclose(own[name], weight.detach().numpy(), rtol=1e-5, atol=1e-6, err_msg=name)
