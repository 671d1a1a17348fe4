"""The kernels of the losses and of the train step against the plain ones they stand for."""

import dataclasses
from functools import partial

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from src.config.train_config import TrainConfig
from src.distill import losses
from src.kernels import operators
from src.train.optimizer import adam_weight_decay
from src.train.train_step import LossScale, SquaredNorm, TrainStep

pytestmark = pytest.mark.usefixtures("graph_mode")


def normal(*shape, seed=0, spread=1.0):
    return (spread * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


class Loss(nn.Cell):
    """The values of a loss, weighed, so that each row's gradient has a weight of its own."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def construct(self, student, teacher, mask, upstream):
        by_row = self.loss(student, ops.stop_gradient(teacher), mask)
        return (by_row * upstream).sum(), by_row


@pytest.mark.parametrize("batch, heads, length, width", [(2, 3, 5, 7), (1, 1, 1, 1), (32, 12, 64, 384)])
@pytest.mark.parametrize("name", ["hidden_mse", "attention_mse"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_losses(library, dtype, name, batch, heads, length, width):
    shape = (batch * length, width) if name == "hidden_mse" else (batch, heads, length, length)
    student, teacher = normal(*shape), normal(*shape, seed=1).astype(dtype)
    lengths = np.linspace(1, length, batch).round()
    mask = (np.arange(length) < lengths[:, None]).astype(np.float32)
    inputs = tuple(map(Tensor, (student, teacher, mask, normal(batch, seed=2))))
    found = []
    for loss in (getattr(operators, name)(library), getattr(losses, name)):
        (_, by_row), gradient = ms.value_and_grad(Loss(loss), 0, None, has_aux=True)(*inputs)
        found.append((by_row.asnumpy(), gradient.asnumpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-7 * np.abs(theirs).max())
    # What is padded has no gradient at all.
    pairs = np.broadcast_to(mask[:, None, :, None] * mask[:, None, None], (batch, heads, length, length))
    real = mask if name == "hidden_mse" else pairs
    assert not found[0][1].reshape(*real.shape, -1)[real == 0].any()


def test_a_loss_of_what_is_not_finite(library):
    student, mask = normal(8, 4), np.ones((2, 4), np.float32)
    student[1, 2] = np.nan
    loss = operators.hidden_mse(library)
    by_row = Loss(loss)(*map(Tensor, (student, normal(8, 4), mask, np.ones(2, np.float32))))[1].asnumpy()
    assert np.isnan(by_row[0]) and np.isfinite(by_row[1])


def test_every_float16_is_read_as_numpy_reads_it(library):
    """Zeros, subnormal numbers, infinities and NaN included: the loss of each to zero is its square."""
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    student, mask = np.zeros((2**16, 1), np.float32), np.ones((2**16, 1), np.float32)
    inputs = map(Tensor, (student, values[:, None], mask, mask[:, 0]))
    by_row = Loss(operators.hidden_mse(library))(*inputs)[1].asnumpy()
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(by_row, np.square(values.astype(np.float32)))


SHAPES = [(300, 700), (5,), (1, 1), (17, 33)]


def test_squared_norm(library):
    arrays = [normal(*shape, seed=place) for place, shape in enumerate(SHAPES)]
    exact = sum((array.astype(np.float64) ** 2).sum() for array in arrays)
    tensors = [Tensor(array) for array in arrays]
    kernel = Call(operators.squared_norm(library))
    assert float(kernel(*tensors).asnumpy()[0]) == pytest.approx(exact, rel=1e-6)
    assert float(SquaredNorm()(*tensors).asnumpy()) == pytest.approx(exact, rel=1e-5)
    for value in (np.nan, np.inf, -np.inf):
        arrays[0][299, 699] = value
        broken = [Tensor(array) for array in arrays]
        assert not np.isfinite(kernel(*broken).asnumpy()[0])


class Call(nn.Cell):
    """An operator as a network."""

    def __init__(self, operator):
        super().__init__()
        self.operator = operator

    def construct(self, *inputs):
        return self.operator(*inputs)


class Quadratic(nn.Cell):
    """loss = sum of x * w^2 over several parameters, some of them without decay."""

    def __init__(self):
        super().__init__()
        for place, shape in enumerate(SHAPES):
            name = f"layer{place}.{'bias' if len(shape) == 1 else 'weight'}"
            self.insert_param_to_cell(f"w{place}", Parameter(Tensor(normal(*shape, seed=place)), name=name))

    def construct(self, x):
        loss = (self.w0 * self.w0).sum() * x + (self.w1 * self.w1).sum() * x
        loss = loss + (self.w2 * self.w2 * self.w2).sum() * x + (self.w3 * self.w3).sum()
        return loss, ops.stack((loss,))


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_train_step_in_place(library, clip_norm):
    """Ten steps, one of them an overflow: the same state under the same names, by the plain step's own."""
    config = dataclasses.replace(TrainConfig(), weight_decay=0.01)
    steps = []
    for fused in (True, False):
        network = Quadratic()
        operator = (lambda count: operators.adam_weight_decay(library, count)) if fused else None
        optimizer = adam_weight_decay(network.trainable_params(), [0.1] * 20, config, operator)
        norm = operators.squared_norm(library) if fused else None
        scale = LossScale(1024.0, 2.0, 50)
        steps.append(TrainStep(network, optimizer, scale, clip_norm, squared_norm=norm))
    for place in range(10):
        x = Tensor(np.float32(np.inf if place == 4 else 0.5 + place))
        results = [[value.asnumpy() for value in step(x)] for step in steps]
        assert results[0][2] == results[1][2] == (place == 4)
        np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    states = [{name: p.asnumpy() for name, p in step.parameters_and_names()} for step in steps]
    assert list(states[0]) == list(states[1]) and int(states[0]["optimizer.global_step"][0]) == 9
    for name in states[0]:
        np.testing.assert_allclose(states[0][name], states[1][name], rtol=2e-4, atol=2e-5, err_msg=name)


def test_what_is_too_small_becomes_zero(library):
    """A first moment that went below normal numbers slows a processor down; only the optimizer drops it."""
    network = Quadratic()
    operator = partial(operators.adam_weight_decay, library)
    optimizer = adam_weight_decay(network.trainable_params(), [0.1] * 2, TrainConfig(), operator)
    tiny, small = np.float32(1e-40), np.float32(1e-30)
    for moment, value in zip(optimizer.moments1, (tiny, small), strict=False):
        moment.set_data(Tensor(np.full(moment.shape, value, np.float32)))
    no_gradients = tuple(ops.zeros_like(p) for p in network.trainable_params())
    optimizer.construct(no_gradients, Tensor(np.float32(1.0)))
    first, second = (moment.asnumpy() for moment in optimizer.moments1[:2])
    assert not first.any()
    np.testing.assert_allclose(second, 0.9 * small, rtol=1e-6)
    assert tiny * np.float32(0.5) > 0, "the kernel left the thread that called it with flushing on"
