"""The blocks a BERT is made of, against NumPy and scipy; and the published numbers of weights."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from mindspore.nn.utils import no_init_parameters
from scipy.special import erf

from src.config.bert_config import BertConfig, preset
from src.model.attention import RelativePositions, SelfAttention
from src.model.bert import BertClassifier
from src.model.layers import FLOAT_LAYERS, Dense, Embedding, Gelu, LayerNorm
from src.model.state_dict import parameter_count

pytestmark = pytest.mark.usefixtures("graph_mode")
CONFIG = BertConfig(
    hidden_size=8, num_attention_heads=2, initializer_range=0.5, attention_probs_dropout_prob=0.0
)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Sum(nn.Cell):
    """A scalar of a cell's output, for gradients."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, x, upstream):
        return (self.cell(x) * upstream).sum()


def gradient(cell, x, upstream):
    return ms.grad(Sum(cell))(ms.Tensor(x), ms.Tensor(upstream)).asnumpy()


def test_gelu_is_the_exact_one():
    x = np.linspace(-8, 8, 4001, dtype=np.float32)
    exact = x * 0.5 * (1 + erf(x.astype(np.float64) / np.sqrt(2)))
    np.testing.assert_allclose(Gelu()(ms.Tensor(x)).asnumpy(), exact, atol=2e-6)
    # The tanh form would be 4.7e-4 off.
    wide = x.astype(np.float64)
    slope = 0.5 * (1 + erf(wide / np.sqrt(2))) + wide * np.exp(-(wide**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(gradient(Gelu(), x, np.ones_like(x)), slope, atol=5e-6)


def layer_norm(x, weight, bias, eps):
    x = x.astype(np.float64)
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + eps) * weight + bias


def test_layer_norm():
    cell, x = LayerNorm(24, CONFIG), 3 * normal(10, 24) + 5
    weight, bias = normal(24, seed=1), normal(24, seed=2)
    cell.weight.set_data(ms.Tensor(weight))
    cell.bias.set_data(ms.Tensor(bias))
    np.testing.assert_allclose(cell(ms.Tensor(x)).asnumpy(), layer_norm(x, weight, bias, 1e-12), atol=1e-5)
    # Its gradient, against differences of the float64 formula.
    upstream, step = normal(10, 24, seed=3), 1e-5
    found = gradient(cell, x, upstream)
    for row, column in ((0, 0), (3, 17), (9, 23)):
        moved = np.zeros_like(x, np.float64)
        moved[row, column] = step
        difference = layer_norm(x + moved, weight, bias, 1e-12) - layer_norm(x - moved, weight, bias, 1e-12)
        assert abs(found[row, column] - (difference * upstream).sum() / (2 * step)) < 1e-4


def test_dense_and_embedding():
    dense, x = Dense(6, 4, CONFIG), normal(5, 6)
    expected = x @ dense.weight.asnumpy().T + dense.bias.asnumpy()
    np.testing.assert_allclose(dense(ms.Tensor(x)).asnumpy(), expected, atol=1e-5)
    half = Dense(6, 4, CONFIG.replace(compute_type="float16"))
    half.weight.set_data(dense.weight.value())
    out = half(ms.Tensor(x))
    assert out.dtype == ms.float32
    np.testing.assert_allclose(out.asnumpy(), expected, atol=1e-2)
    table = Embedding(7, 3, CONFIG)
    ids = np.array([0, 6, 3, 3], np.int32)
    np.testing.assert_array_equal(table(ms.Tensor(ids)).asnumpy(), table.weight.asnumpy()[ids])


def test_fresh_weights_are_truncated_normal():
    weight = Dense(300, 400, CONFIG.replace(initializer_range=0.02)).weight.asnumpy()
    assert 0.016 < weight.std() < 0.021 and abs(weight.mean()) < 2e-4
    assert np.abs(weight).max() <= 0.04 + 1e-6  # truncated at two sigma


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


@pytest.mark.parametrize("queries", [21, 1])
@pytest.mark.parametrize("relative", [False, True])
def test_attention(relative, queries):
    """Scores before mask and softmax, and the context; with relative positions by Shaw's sums over j."""
    batch, length = 2, 21  # beyond the clipping distance of 16
    cell = SelfAttention(CONFIG.replace(use_relative_positions=relative), FLOAT_LAYERS)
    cell.set_train(False)
    x = normal(batch * length, 8)
    bias = np.zeros((batch, 1, 1, length), np.float32)
    bias[1, ..., 15:] = -10000.0
    asking = x.reshape(batch, length, 8)[:, :queries].reshape(-1, 8)
    context, scores = cell(ms.Tensor(asking), ms.Tensor(x), ms.Tensor(bias), batch)

    def project(dense):
        y = x @ dense.weight.asnumpy().T + dense.bias.asnumpy()
        return y.reshape(batch, length, 2, 4).transpose(0, 2, 1, 3).astype(np.float64)

    q, k, v = project(cell.query), project(cell.key), project(cell.value)
    expected = q @ k.transpose(0, 1, 3, 2)
    if relative:
        keys, values = cell.relative_keys.table.weight.asnumpy(), cell.relative_values.table.weight.asnumpy()
        for i in range(length):
            for j in range(length):
                expected[:, :, i, j] += q[:, :, i] @ keys[np.clip(j - i, -16, 16) + 16]
    expected /= 2.0
    np.testing.assert_allclose(scores.asnumpy(), expected[:, :, :queries], atol=1e-4)
    probs = softmax(expected + bias)
    mixed = probs @ v
    if relative:
        for i in range(length):
            for j in range(length):
                mixed[:, :, i] += probs[:, :, i, j, None] * values[np.clip(j - i, -16, 16) + 16]
    merged = mixed[:, :, :queries].transpose(0, 2, 1, 3).reshape(batch * queries, 8)
    np.testing.assert_allclose(context.asnumpy(), merged, atol=1e-4)


def test_relative_vectors_of_each_distance():
    cell = RelativePositions(CONFIG)
    table = cell.table.weight.asnumpy()
    query = np.zeros((1, 1, 20, 4), np.float32)
    query[..., 0] = 1
    scores = cell.scores(ms.Tensor(query), 20).asnumpy()[0, 0]
    assert table.shape == (33, 4)
    np.testing.assert_allclose(scores[0, :3], table[16:19, 0], rtol=1e-6)  # distances 0, 1, 2
    np.testing.assert_allclose(scores[19, 0:4], table[0, 0], rtol=1e-6)  # -19 .. -16 share a vector
    np.testing.assert_allclose(scores[0, 16:], table[32, 0], rtol=1e-6)
    probs = np.eye(20, dtype=np.float32)[None, None]
    np.testing.assert_allclose(
        cell.mix(ms.Tensor(probs)).asnumpy()[0, 0], np.tile(table[16], (20, 1)), rtol=1e-6
    )


COUNTS = {
    "BERT-base": (BertConfig(labels=("0", "1")), 109_483_778),
    "TinyBERT 4L-312": (preset("4L-312", labels=("0", "1")), 14_350_874),
    "6L-768": (preset("6L-768", labels=("0", "1")), 66_956_546),
    "model zoo 4L-384": (preset("4L-384", labels=("0", "1")), 19_165_058),
    "3L-312": (preset("3L-312", labels=("0", "1")), 13_208_690),
}


@pytest.mark.parametrize("config, count", COUNTS.values(), ids=COUNTS)
def test_parameter_counts(config, count):
    with no_init_parameters():  # their number is asked, not their values
        network = BertClassifier(config)
    assert parameter_count(network) == count
