"""Each kernel against the plain operators it stands for: outputs, every gradient, and what is not finite."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from src.config.bert_config import ATTENTION_MASK_VALUE, BertConfig
from src.kernels import layers as kernels
from src.model import layers as plain
from src.model.attention import SelfAttention
from src.stages.model.device import kernel_parts

pytestmark = pytest.mark.usefixtures("graph_mode")
# (rows, width): a width that is no multiple of a vector, one row, the sizes of a real step
SHAPES = [(6, 8), (1, 5), (37, 312), (512, 1536)]


def normal(*shape, seed=0, spread=1.0):
    return (spread * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


class Weighed(nn.Cell):
    """A scalar of a cell's outputs, so that every gradient can be asked for."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, upstream, *inputs):
        outputs = self.cell(*inputs)
        if not isinstance(outputs, tuple):
            outputs = (outputs,)
        total = ms.Tensor(0.0, ms.float32)
        for i in range(len(outputs)):
            total = total + (outputs[i] * upstream[i]).sum()
        return total, outputs


def outputs_and_gradients(cell, inputs, upstream):
    """NumPy arrays: the outputs of `cell`, the gradients of its inputs and of its parameters, in one list."""
    total = Weighed(cell)
    weights = list(total.trainable_params())
    places = tuple(range(1, 1 + len(inputs)))
    gradient = ms.value_and_grad(total, places, weights or None, has_aux=True)
    (_, outputs), gradients = gradient(tuple(map(ms.Tensor, upstream)), *map(ms.Tensor, inputs))
    if weights:
        gradients = (*gradients[0], *gradients[1]) if len(inputs) > 1 else (gradients[0], *gradients[1])
    elif len(inputs) == 1:
        gradients = (gradients,)
    return [value.asnumpy() for value in (*outputs, *gradients)]


def compare(found, expected, tolerance):
    """Arrays one by one, in units of the largest value of each."""
    for place, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        size = max(np.abs(theirs).max(), 1e-3)
        np.testing.assert_allclose(ours / size, theirs / size, atol=tolerance, err_msg=f"value {place}")


def check(kernel, other, inputs, upstream, tolerance=1e-5):
    """Same outputs and gradients."""
    compare(*(outputs_and_gradients(cell, inputs, upstream) for cell in (kernel, other)), tolerance)


@pytest.mark.parametrize("rows, width", SHAPES)
def test_bias_gelu(library, rows, width):
    inputs = (normal(rows, width, spread=2.0), normal(width, seed=1))
    check(kernels.BiasGelu(library), plain.BiasActivation(plain.Gelu), inputs, [normal(rows, width, seed=2)])


def test_gelu_in_the_tails(library):
    """Where 1 + erf has lost its digits the kernel still has them; at both ends it is x and 0."""
    from scipy.special import log_ndtr

    x = np.linspace(-12, 12, 24_001, dtype=np.float32).reshape(1, -1)
    found = kernels.BiasGelu(library)(ms.Tensor(x), ms.Tensor(np.zeros(x.shape[1], np.float32))).asnumpy()
    exact = x * np.exp(log_ndtr(x.astype(np.float64)))
    np.testing.assert_allclose(found, exact, rtol=2e-5, atol=1e-37)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rows, width", SHAPES)
def test_layer_norm(library, rows, width):
    inputs = (normal(rows, width, spread=3.0) + 5, normal(width, seed=1), normal(width, seed=2))
    check(
        kernels.LayerNormOp(library, width, 1e-12),
        plain.LayerNormOp(width, 1e-12),
        inputs,
        [normal(rows, width, seed=3)],
        3e-5,
    )


@pytest.mark.parametrize("rows, width", SHAPES)
def test_residual_norm(library, rows, width):
    vectors = [normal(width, seed=seed) for seed in (1, 2, 3)]
    inputs = (normal(rows, width), vectors[0], normal(rows, width, seed=4), *vectors[1:])
    check(
        kernels.AddBiasDropoutNorm(library, width, 1e-12, 0.1).set_train(False),
        plain.AddBiasDropoutNorm(width, 1e-12, 0.1).set_train(False),
        inputs,
        [normal(rows, width, seed=5)],
        3e-5,
    )


class Attend(nn.Cell):
    """SelfAttention of the first `queries` tokens, with the lengths bound."""

    def __init__(self, config, layers, lengths, length, queries):
        super().__init__()
        mask = (np.arange(length) < np.array(lengths)[:, None]).astype(np.float32)
        self.mask_bias = ms.Tensor(((1 - mask) * ATTENTION_MASK_VALUE).reshape(len(lengths), 1, 1, length))
        self.attention = SelfAttention(config, layers)
        self.batch, self.queries = len(lengths), queries

    def construct(self, hidden):
        width = hidden.shape[1]
        asking = hidden.reshape(self.batch, -1, width)[:, : self.queries].reshape(-1, width)
        return self.attention(asking, hidden, self.mask_bias, self.batch)


@pytest.mark.parametrize("cls_only", [False, True], ids=["all", "cls"])
@pytest.mark.parametrize(
    "width, heads, lengths, length",
    [(8, 2, (3, 1), 3), (39, 3, (17, 5, 16), 17), (384, 12, tuple(range(1, 33)), 32), (64, 1, (40, 41), 41)],
)
def test_attention(library, width, heads, lengths, length, cls_only):
    """Context, scores, gradients of the input and of all six parameters; heads and lengths of odd sizes."""
    config = BertConfig(
        hidden_size=width, num_attention_heads=heads, initializer_range=0.5, attention_probs_dropout_prob=0.0
    )
    kinds = (kernel_parts(library)["layers"], plain.FLOAT_LAYERS)
    rows, queries = len(lengths) * length, 1 if cls_only else length
    cells = [Attend(config, kind, lengths, length, queries) for kind in kinds]
    upstream = (
        normal(len(lengths) * queries, width, seed=1),
        normal(len(lengths), heads, queries, length, seed=2),
    )
    for cell in cells:
        for place, parameter in enumerate(cell.get_parameters()):
            parameter.set_data(ms.Tensor(normal(*parameter.shape, seed=place, spread=0.5)))
    hidden = normal(rows, width, spread=width**-0.5)
    found = [outputs_and_gradients(cell, (hidden,), upstream) for cell in cells]
    assert len(found[0]) == 2 + 1 + 6
    for place, (ours, theirs) in enumerate(zip(*found, strict=True)):
        size = np.abs(theirs).max()
        if place == 2 + 1 + 3:  # a key's bias moves all scores of a query alike: its gradient is zero
            size = np.abs(found[1][place - 2]).max()
        np.testing.assert_allclose(ours / size, theirs / size, atol=2e-5, err_msg=f"value {place}")


class Packed(nn.Cell):
    """SelfAttention.packed with every token as a query, and with some."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def construct(self, hidden, sequences, every, some):
        queries = ops.gather(hidden, some, 0)
        whole = self.attention.packed(hidden, hidden, sequences, every)
        return whole, self.attention.packed(queries, hidden, sequences, some)


@pytest.mark.parametrize("width, heads", [(8, 2), (30, 3), (64, 4)])
def test_packed_attention_is_that_of_each_sequence_alone(library, width, heads):
    """Against the plain operators, one sequence at a time."""
    config = BertConfig(hidden_size=width, num_attention_heads=heads, initializer_range=0.5)
    lengths, padding = [5, 1, 40, 17], 6
    fused = SelfAttention(config, kernel_parts(library)["layers"]).set_train(False)
    alone = SelfAttention(config, plain.FLOAT_LAYERS).set_train(False)
    for place, pair in enumerate(zip(fused.get_parameters(), alone.get_parameters(), strict=True)):
        for parameter in pair:
            parameter.set_data(ms.Tensor(normal(*parameter.shape, seed=place, spread=0.5)))
    tokens = sum(lengths) + padding
    hidden = normal(tokens, width, spread=width**-0.5)
    sequences = np.repeat([1, 2, 3, 4, 0], [*lengths, padding]).astype(np.int32)
    some = np.array([2, 5, 6, 20, 60, tokens - 1], np.int32)
    columns = (hidden, sequences, np.arange(tokens, dtype=np.int32), some)
    found, asked = (out.asnumpy() for out in Packed(fused)(*map(ms.Tensor, columns)))
    for number, length in enumerate(lengths, 1):
        own = ms.Tensor(hidden[sequences == number])
        expected, _ = alone(own, own, ms.Tensor(np.zeros((1, 1, 1, length), np.float32)), 1)
        np.testing.assert_allclose(found[sequences == number], expected.asnumpy(), atol=1e-5)
    np.testing.assert_allclose(asked[:5], found[some[:5]], atol=1e-5)
    assert (found[sequences == 0] == 0).all() and np.isfinite(asked).all() and np.abs(found).max() > 0.1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_so(library, value):
    """An overflow is seen by its NaN or infinity: it reaches the outputs and the gradients of its row."""
    x, vector, up = normal(4, 16), np.ones(16, np.float32), normal(4, 16, seed=1)
    x[2, 3] = value
    broken_up = up.copy()
    broken_up[1, 7] = value
    norm, gelu = kernels.AddBiasDropoutNorm(library, 16, 1e-12, 0.0), kernels.BiasGelu(library)
    for cell, inputs in ((gelu, (x, vector)), (norm, (x, vector, up, vector, vector))):
        found = outputs_and_gradients(cell, inputs, [up])
        if value != np.inf or cell is norm:  # gelu(inf) is inf, which is not finite either
            assert np.isnan(found[0][2, 3])
        assert not np.isfinite(found[0][2, 3]) and np.isfinite(np.delete(found[0], 2, axis=0)).all()
        assert not np.isfinite(found[1][2, 3])
        clean = (normal(4, 16), *inputs[1:])
        gradients = outputs_and_gradients(cell, clean, [broken_up])[1:]
        assert not np.isfinite(gradients[0][1, 7]) and not np.isfinite(gradients[1]).all()


def test_attention_of_what_is_not_finite(library):
    config = BertConfig(hidden_size=8, num_attention_heads=2)
    cell, zeros = kernels.Attention(library, config), np.zeros(8, np.float32)
    mask = np.zeros((2, 1, 1, 4), np.float32)
    query = normal(8, 8)
    query[1, 0] = np.nan  # row 0 of the batch, head 0
    biases = (ms.Tensor(zeros),) * 3
    context, scores = cell(
        ms.Tensor(query), ms.Tensor(normal(8, 8)), ms.Tensor(normal(8, 8)), biases, ms.Tensor(mask)
    )
    assert np.isnan(scores.asnumpy()[0, 0, 1]).all() and np.isfinite(scores.asnumpy()[1]).all()
    assert np.isnan(context.asnumpy()[1, :4]).all() and np.isfinite(context.asnumpy()[[0, 2, 3]]).all()
