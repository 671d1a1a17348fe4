"""Products and lookups with rounded factors against NumPy; when and how ranges move."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from src.config.bert_config import BertConfig
from src.config.quantization import Quantization
from src.config.train_config import TrainConfig
from src.model.layers import Dense, Embedding, EmbeddingLookup, MatMul
from src.quant import quantizers
from src.quant.layers import QuantLookup, QuantMatMul, bind_ranges, calibration_mode
from src.quant.quantizers import PLAIN
from src.train.optimizer import adam_weight_decay, polynomial_schedule
from src.train.train_step import LossScale, TrainStep
from tests.quant import by_hand

pytestmark = pytest.mark.usefixtures("graph_mode")
CONFIG = BertConfig(initializer_range=0.5)


def normal(*shape, seed=0, spread=1.0):
    return (spread * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def dense(quantization=None, operators=PLAIN, size=(24, 10)):
    """A dense layer with a quantized product."""
    bits = quantization or Quantization()
    return Dense(*size, CONFIG, operator=lambda config: QuantMatMul(bits, MatMul(config), operators))


def range_of(layer):
    return layer.product.input_threshold.asnumpy()


def set_range(layer, value):
    layer.product.input_threshold.set_data(Tensor(np.array([value], np.float32)))


class Passed(nn.Cell):
    """A cell as a graph of its own, compiled at its first call."""

    def __init__(self, cell):
        super().__init__(auto_prefix=False)
        self.cell = cell

    def construct(self, x):
        return self.cell(x)


class Summed(Passed):
    """The sum of a cell's outputs."""

    def construct(self, x):
        return self.cell(x).sum()


# Values


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [(8, 8), (2, 4), (0, 8), (3, 0)], ids=str)
def test_a_dense_layer_in_evaluation(operators, bits, per_channel):
    """Both factors on their grids, or one in float; the same product in integers."""
    weight_bits, activation_bits = bits
    layer = dense(Quantization(weight_bits, 8, activation_bits, per_channel), operators).set_train(False)
    x, weight = normal(37, 24), layer.weight.asnumpy()
    if activation_bits:
        set_range(layer, 1.25)
    rows = by_hand.fake_quantize(x, 1.25, activation_bits) if activation_bits else x
    rounded = by_hand.quantize_weight(weight, weight_bits, per_channel) if weight_bits else weight
    found = layer.matmul(Tensor(x)).asnumpy()
    np.testing.assert_allclose(found, rows.astype(np.float64) @ rounded.T.astype(np.float64), atol=1e-5)
    if all(bits):
        abs_max = np.abs(weight).max(axis=1) if per_channel else np.abs(weight).max()
        clip_value = abs_max[:, None] if per_channel else abs_max
        integers = by_hand.integers(weight, clip_value, weight_bits)
        whole = by_hand.integers(x, 1.25, activation_bits) @ integers.T
        scale = by_hand.scale_of(1.25, activation_bits) * by_hand.scale_of(abs_max, weight_bits)
        np.testing.assert_allclose(found, whole * scale, atol=1e-5)


def test_half_precision():
    """Hidden states and products in float16: rounding and ranges stay in float32."""
    config, bits = CONFIG.replace(dtype="float16", compute_type="float16"), Quantization()
    layer = Dense(24, 10, config, operator=lambda config: QuantMatMul(bits, MatMul(config)))
    step, x = train_step(layer), normal(8, 24).astype(np.float16)
    before = layer.weight.asnumpy().copy()
    loss = step(Tensor(x))[0].asnumpy()
    np.testing.assert_array_equal(range_of(layer), [np.abs(x).max().astype(np.float32)])
    rounded = by_hand.fake_quantize(x.astype(np.float32), range_of(layer), 8)
    expected = rounded @ by_hand.quantize_weight(before, 8).T
    assert loss == pytest.approx((expected**2).mean(), rel=1e-2)


def test_an_embedding(operators):
    """Rows as if the whole table had been rounded; the gradient reaches the rows that were looked up."""
    bits = Quantization(embedding_bits=4)
    table = Embedding(50, 8, CONFIG, operator=lambda: QuantLookup(bits, EmbeddingLookup(), operators))
    ids = np.array([3, 3, 49, 0], np.int32)
    found = table(Tensor(ids)).asnumpy()
    np.testing.assert_array_equal(found, by_hand.quantize_weight(table.weight.asnumpy(), 4)[ids])
    gradient = ms.grad(Summed(table), None, table.weight)
    slope = gradient(Tensor(ids)).asnumpy()
    np.testing.assert_array_equal(slope.sum(1), np.bincount(ids, minlength=50) * 8.0)


def test_another_quantizer_is_one_more_class(monkeypatch):
    """Ternary weights (TernaryBERT, Zhang et al. 2020) as a row of the table."""

    class Ternary(nn.Cell):
        def __init__(self, bits, by_row, operators):
            super().__init__()
            assert (bits, by_row) == (2, False)

        def clip_value(self, weight):
            return 0.7 * ops.abs(weight).mean()

        def construct(self, weight, clip_value):
            kept = (ops.abs(weight) > clip_value).astype(ms.float32)
            return ops.sign(weight) * kept * (ops.abs(weight) * kept).sum() / kept.sum()

    monkeypatch.setitem(quantizers.QUANTIZERS, "ternary", Ternary)
    layer = dense(Quantization(2, 2, 8, quantizer="ternary")).set_train(False)
    set_range(layer, 3.0)
    x, weight = normal(5, 24), layer.weight.asnumpy()
    kept = np.abs(weight) > 0.7 * np.abs(weight).mean()
    rounded = np.sign(weight) * kept * np.abs(weight[kept]).mean()
    expected = by_hand.fake_quantize(x, 3.0, 8) @ rounded.T
    np.testing.assert_allclose(layer.matmul(Tensor(x)).asnumpy(), expected, atol=1e-5)


# Ranges


class Trained(nn.Cell):
    """A dense layer under a loss, as the train step takes it; `factor` scales the loss."""

    def __init__(self, layer, factor=1.0):
        super().__init__()
        self.layer, self.factor = layer, factor

    def construct(self, x):
        out = self.layer(x)
        loss = (out * out).mean() * self.factor
        return loss, loss.reshape(1)


def train_step(layer, factor=1.0, decay=0.9):
    bind_ranges(layer, decay)
    network = Trained(layer, factor).set_train(True)
    schedule = polynomial_schedule(100, 1e-2, 0.0, 1.0, 0.0)
    optimizer = adam_weight_decay(network.trainable_params(), schedule, TrainConfig())
    return TrainStep(network, optimizer, LossScale(1.0, 2.0, 50), 1.0)


def average(before, x, decay=0.9):
    """The next value of a range, as the paper's moving average has it."""
    abs_max = np.abs(x).max()
    return abs_max if before == 0 else decay * before + (1 - decay) * abs_max


def test_the_moving_average(operators):
    """One update a training step, the first maximum initialises, evaluation in between changes nothing."""
    layer, expected = dense(operators=operators), 0.0
    step, evaluation = train_step(layer), Passed(layer)
    for number in range(6):
        x = normal(8, 24, seed=number, spread=1.0 + number)
        step(Tensor(x))
        expected = average(expected, x)
        np.testing.assert_allclose(range_of(layer), [expected], rtol=1e-6)
        layer.set_train(False)
        evaluation(Tensor(100 * x))
        layer.set_train(True)
        np.testing.assert_allclose(range_of(layer), [expected], rtol=1e-6)


def test_the_range_is_moved_before_it_is_used():
    layer = dense()
    x, before = normal(8, 24), layer.weight.asnumpy().copy()
    loss = train_step(layer)(Tensor(x))[0].asnumpy()
    rounded = by_hand.fake_quantize(x, np.abs(x).max(), 8) @ by_hand.quantize_weight(before, 8).T
    assert loss == pytest.approx((rounded**2).mean(), rel=1e-5)


def test_an_overflow_of_the_gradients(operators):
    """The step is skipped. Its forward pass was sound: the range moves as in any other."""
    layer = dense(operators=operators)
    step, before, x = train_step(layer, factor=1e37), layer.weight.asnumpy().copy(), normal(8, 24, spread=30)
    assert step(Tensor(x))[2].asnumpy()
    np.testing.assert_array_equal(layer.weight.asnumpy(), before)
    np.testing.assert_array_equal(range_of(layer), np.abs(x).max(keepdims=True)[0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_batch_that_is_not_finite_enters_no_range(operators, value):
    layer = dense(operators=operators)
    step, x = train_step(layer), normal(8, 24)
    broken = x.copy()
    broken[3, 3] = value
    assert step(Tensor(broken))[2].asnumpy() and range_of(layer) == 0
    step(Tensor(x))
    assert step(Tensor(broken))[2].asnumpy()
    np.testing.assert_array_equal(range_of(layer), [np.abs(x).max()])


def test_calibration_is_the_plain_maximum(operators):
    layer, batches = dense(operators=operators), [normal(8, 24, seed=seed) for seed in range(3)]
    broken = batches[0].copy()
    broken[0, 0] = np.nan
    bind_ranges(layer, 0.9)
    layer.set_train(False)
    with calibration_mode(layer):
        calibration = Passed(layer)
        for x in (*batches, broken):
            calibration(Tensor(x))
    np.testing.assert_array_equal(range_of(layer), [np.abs(batches).max()])
    Passed(layer)(Tensor(10 * batches[0]))
    np.testing.assert_array_equal(range_of(layer), [np.abs(batches).max()])


def test_ranges_are_bound_before_training():
    layer = dense()
    layer.set_train(True)
    with pytest.raises(ValueError, match="call bind_ranges before training"):
        Passed(layer)(Tensor(normal(2, 24)))


def test_only_the_range_is_new_and_it_is_not_trained():
    layer = dense()
    assert [p.name for p in layer.trainable_params()] == ["weight", "bias"]
    assert [p.name for p in layer.get_parameters() if not p.requires_grad] == ["product.input_threshold"]
    assert len(list(dense(Quantization(8, 8, 0)).get_parameters())) == 2
