"""The train step against BERT's Adam in NumPy: clipping, overflow, loss scale."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from src.config.train_config import TrainConfig
from src.train.optimizer import adam_weight_decay
from src.train.train_step import MAX_SCALE, AllFinite, ClipEach, LossScale, TrainStep

pytestmark = pytest.mark.usefixtures("graph_mode")
WEIGHT = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)
BIAS = np.array([0.5, -0.5], np.float32)
RATE, DECAY, EPS = 0.1, 0.01, 1e-6


class Quadratic(nn.Cell):
    """loss = sum(slope * weight) + sum(bias^2): the gradients are slope, a batch's, and 2 * bias."""

    def __init__(self):
        super().__init__()
        self.weight = Parameter(Tensor(WEIGHT), name="weight")
        self.bias = Parameter(Tensor(BIAS), name="bias")

    def construct(self, slope):
        loss = (self.weight * slope).sum() + (self.bias * self.bias).sum()
        return loss, ms.ops.stack((loss, loss * 0.5))


def build_step(clip_norm=0.0, scale=1024.0, window=50, factor=2.0, all_finite=None):
    network = Quadratic()
    config = TrainConfig(bias_correction=False, weight_decay=DECAY, eps=EPS)
    optimizer = adam_weight_decay(network.trainable_params(), [RATE] * 30, config)
    loss_scale = LossScale(scale, factor, window)
    return TrainStep(network, optimizer, loss_scale, clip_norm, all_finite=all_finite)


class Adam:
    """AdamWeightDecay of BERT (Devlin et al. 2019): no bias correction, decoupled decay, not on the bias."""

    def __init__(self):
        self.values = {"weight": WEIGHT.astype(np.float64), "bias": BIAS.astype(np.float64)}
        self.m = {name: 0.0 for name in self.values}
        self.v = {name: 0.0 for name in self.values}

    def step(self, slope, clip_norm=0.0, each=False):
        gradients = {"weight": slope.astype(np.float64), "bias": 2 * self.values["bias"]}
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        for name, gradient in gradients.items():
            norm = np.sqrt((gradient**2).sum()) if each else norm
            gradient = gradient * (min(1.0, clip_norm / norm) if clip_norm else 1.0)
            self.m[name] = 0.9 * self.m[name] + 0.1 * gradient
            self.v[name] = 0.999 * self.v[name] + 0.001 * gradient**2
            update = self.m[name] / (np.sqrt(self.v[name]) + EPS)
            update = update + (DECAY * self.values[name] if name == "weight" else 0.0)
            self.values[name] = self.values[name] - RATE * update


def slopes(steps):
    return np.random.default_rng(0).standard_normal((steps, 2, 2)).astype(np.float32)


def state(step):
    return {name: parameter.asnumpy().copy() for name, parameter in step.parameters_and_names()}


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_five_steps(clip_norm):
    step, adam = build_step(clip_norm), Adam()
    for slope in slopes(5):
        value = (adam.values["weight"] * slope).sum() + (adam.values["bias"] ** 2).sum()
        loss, parts, overflow, scale = step(Tensor(slope))
        assert float(loss.asnumpy()) == pytest.approx(value, rel=1e-4)
        assert parts.asnumpy().tolist() == pytest.approx([value, value / 2], rel=1e-4)
        assert not bool(overflow.asnumpy()) and float(scale.asnumpy()) == 1024
        adam.step(slope, clip_norm)
    np.testing.assert_allclose(step.network.weight.asnumpy(), adam.values["weight"], rtol=1e-4)
    np.testing.assert_allclose(step.network.bias.asnumpy(), adam.values["bias"], rtol=1e-4)


def test_each_gradient_clipped_by_its_own_norm():
    step, adam = build_step(ClipEach(0.5), scale=256.0), Adam()
    # One step clips both gradients, the other neither of the weight nor of the bias alone.
    for slope in (*slopes(3), 0.01 * slopes(1)[0]):
        step(Tensor(slope))
        adam.step(slope, 0.5, each=True)
        for parameter in step.optimizer.parameters:
            np.testing.assert_allclose(parameter.asnumpy(), adam.values[parameter.name], rtol=1e-5, atol=5e-6)


def test_the_loss_scale_changes_no_update():
    one, other = build_step(1.0, scale=1.0), build_step(1.0, scale=2.0**20)
    for slope in slopes(3):
        one(Tensor(slope))
        other(Tensor(slope))
    np.testing.assert_allclose(one.network.weight.asnumpy(), other.network.weight.asnumpy(), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_an_overflow_updates_nothing(bad):
    step = build_step(1.0)
    good, wrong = slopes(1)[0], slopes(1)[0]
    wrong[0, 1] = bad
    step(Tensor(good))
    before = state(step)
    loss, _, overflow, scale = step(Tensor(wrong))
    assert bool(overflow.asnumpy()) and float(scale.asnumpy()) == 1024
    after = state(step)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"loss_scale.scale", "loss_scale.good_steps", "loss_scale.skipped"}
    assert (after["loss_scale.scale"], after["loss_scale.skipped"], after["loss_scale.good_steps"]) == (
        512,
        1,
        0,
    )
    assert np.isnan(loss.asnumpy()) or np.isinf(loss.asnumpy())
    # And the run goes on.
    _, _, overflow, scale = step(Tensor(good))
    assert not bool(overflow.asnumpy()) and float(scale.asnumpy()) == 512
    assert not np.array_equal(step.network.weight.asnumpy(), after["network.weight"])


def scales(step, pattern):
    """The scale after each step of a pattern of good (g) and overflowing (x) ones."""
    slope = slopes(1)[0]
    wrong = np.full_like(slope, np.inf)
    found = []
    for kind in pattern:
        step(Tensor(slope if kind == "g" else wrong))
        found.append(float(step.loss_scale.scale.asnumpy()))
    return found


def test_growth_after_the_window():
    step = build_step(window=3, scale=8.0)
    assert scales(step, "gggggg") == [8, 8, 16, 16, 16, 32]
    # An overflow halves it and begins the window anew.
    assert scales(step, "ggxggg") == [32, 32, 16, 16, 16, 32]
    assert int(step.loss_scale.skipped.asnumpy()) == 1


def test_a_fractional_scale_factor():
    step = build_step(window=2, scale=8.0, factor=1.5)
    assert scales(step, "ggxx") == pytest.approx([8, 12, 8, 8 / 1.5])


def test_floor_and_ceiling_of_the_scale():
    step = build_step(window=1, scale=MAX_SCALE / 2)
    assert scales(step, "ggg") == [MAX_SCALE] * 3
    step.loss_scale.scale.set_data(Tensor(2.0, ms.float32))
    assert scales(step, "xxx") == [1, 1, 1]
    assert int(step.loss_scale.skipped.asnumpy()) == 3


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_all_finite_gradients(bad):
    """The device's own check, which a CPU run does not need, detects the same overflows."""
    step, plain = build_step(1.0, all_finite=AllFinite()), build_step(1.0)
    for slope in (slopes(1)[0], np.full((2, 2), bad, np.float32), slopes(1)[0]):
        results = [cell(Tensor(slope)) for cell in (step, plain)]
        assert results[0][2].asnumpy() == results[1][2].asnumpy()
    assert int(step.loss_scale.skipped.asnumpy()) == 1
    for name, value in state(plain).items():
        np.testing.assert_array_equal(state(step)[name], value, err_msg=name)


class Never(nn.Cell):
    """A device that reports an overflow at every step."""

    def construct(self, gradients):
        return ops.isfinite(gradients[0]).all() & False


def test_an_overflow_that_only_the_device_reports():
    step = build_step(all_finite=Never())
    assert bool(step(Tensor(slopes(1)[0]))[2].asnumpy())
    np.testing.assert_array_equal(step.network.weight.asnumpy(), WEIGHT)


class GradientDescent(nn.Optimizer):
    """weight -= gradient * factor."""

    def construct(self, gradients, factor):
        updated = ()
        for i in range(self.param_length):
            updated = updated + (ops.assign_sub(self.parameters[i], gradients[i] * factor),)
        return updated


class Doubled(nn.Cell):
    """Stands for the all-reduce of two ranks."""

    def construct(self, gradients):
        doubled = ()
        for gradient in gradients:
            doubled = doubled + (gradient * 2.0,)
        return doubled


def test_gradients_are_reduced_before_they_are_clipped():
    network = Quadratic()
    optimizer = GradientDescent(1.0, network.trainable_params())
    step = TrainStep(network, optimizer, LossScale(4.0, 2.0, 50), 0.0, Doubled())
    step(Tensor(np.ones((2, 2), np.float32)))
    np.testing.assert_allclose(network.weight.asnumpy(), WEIGHT - 2.0)
