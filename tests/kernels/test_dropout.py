"""Dropout in the kernels: the masks' statistics, and their use inside norm and attention."""

import dataclasses
from functools import partial

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from src.config.bert_config import BertConfig
from src.kernels import layers as kernels
from src.model import layers as plain
from src.stages.model.device import kernel_parts
from tests.kernels.test_parity import Attend, compare, normal, outputs_and_gradients

pytestmark = pytest.mark.usefixtures("graph_mode")
RATE = 0.1


def step_counter(number):
    return Parameter(Tensor(np.array([number], np.int32)), name="step")


def bound(cell, step=5, seed=7, number=3):
    """`cell` in training, its dropout cells bound to the same masks."""
    counter = step_counter(step)
    for _, part in cell.cells_and_names():
        if isinstance(part, kernels.DropoutCell):
            part.bind(counter, seed, number)
    return cell.set_train(True)


def masks(library, shape=(200, 500), **key):
    return bound(kernels.Dropout(library, RATE), **key)(Tensor(np.ones(shape, np.float32))).asnumpy()


def test_rate_and_scale(library):
    mask = masks(library)
    assert set(np.unique(mask)) == {np.float32(0), np.float32(1) / (np.float32(1) - np.float32(RATE))}
    dropped = mask == 0
    assert abs(dropped.mean() - RATE) < 4 * np.sqrt(RATE * (1 - RATE) / mask.size)
    # The means of rows and columns have the spread of independent draws.
    for axis, count in ((0, 200), (1, 500)):
        spread = dropped.mean(axis).std() / np.sqrt(RATE * (1 - RATE) / count)
        assert 0.85 < spread < 1.15


@pytest.mark.parametrize("other", [{"step": 6}, {"seed": 8}, {"number": 4}, {"step": 0}, {"seed": 7 + 2**31}])
def test_masks_of_other_keys_are_independent(library, other):
    one, two = masks(library) == 0, masks(library, **other) == 0
    assert abs((one & two).mean() - RATE**2) < 5 * np.sqrt(RATE**2 / one.size)
    # Not a shifted copy either.
    for shift in (1, 16, 500):
        assert abs((one & np.roll(two, shift)).mean() - RATE**2) < 5 * np.sqrt(RATE**2 / one.size)


def test_neighbors_are_independent(library):
    dropped = (masks(library) == 0).reshape(-1)
    for distance in (1, 2, 8, 16, 64, 500, 4096):
        both = (dropped[distance:] & dropped[:-distance]).mean()
        assert abs(both - RATE**2) < 5 * np.sqrt(RATE**2 / dropped.size)


def test_same_key_same_mask_and_its_gradient(library):
    np.testing.assert_array_equal(masks(library), masks(library))
    up = normal(200, 500)
    cell = bound(kernels.Dropout(library, RATE))
    gradient = outputs_and_gradients(cell, (normal(200, 500, seed=1),), [up])[1]
    np.testing.assert_array_equal(gradient, up * masks(library))
    cell.set_train(False)
    x = normal(3, 4)
    np.testing.assert_array_equal(cell(Tensor(x)).asnumpy(), x)


def test_unbound_dropout_is_refused(library):
    cell = kernels.Dropout(library, RATE).set_train(True)
    with pytest.raises(ValueError, match="bind_dropout"):
        cell(Tensor(np.ones((2, 2), np.float32)))


@pytest.mark.parametrize("rows, width", [(6, 8), (37, 312)])
def test_residual_norm(library, rows, width):
    """Against the plain cell whose dropout is the kernel's own: the same elements are dropped."""
    reference = plain.AddBiasDropoutNorm(width, 1e-12, RATE)
    reference.dropout = kernels.Dropout(library, RATE)
    cells = bound(kernels.AddBiasDropoutNorm(library, width, 1e-12, RATE)), bound(reference)
    vectors = [normal(width, seed=seed) for seed in (1, 2, 3)]
    inputs = (normal(rows, width), vectors[0], normal(rows, width, seed=4), *vectors[1:])
    compare(*(outputs_and_gradients(cell, inputs, [normal(rows, width, seed=5)]) for cell in cells), 3e-5)


@pytest.mark.parametrize("queries", [1, 17])
def test_attention(library, queries):
    lengths, length, width = (17, 5, 16), 17, 39
    config = BertConfig(hidden_size=width, num_attention_heads=3, attention_probs_dropout_prob=RATE)
    dropout = partial(kernels.Dropout, library)
    kinds = kernel_parts(library)["layers"], dataclasses.replace(plain.FLOAT_LAYERS, dropout=dropout)
    upstream = (normal(3 * queries, width, seed=1), normal(3, 3, queries, length, seed=2))
    found = []
    for kind in kinds:
        cell = bound(Attend(config, kind, lengths, length, queries))
        for place, parameter in enumerate(cell.trainable_params()):
            parameter.set_data(ms.Tensor(normal(*parameter.shape, seed=place, spread=0.5)))
        found.append(outputs_and_gradients(cell, (normal(51, width, spread=width**-0.5),), upstream))
    key_bias = 2 + 1 + 3  # its gradient is zero up to rounding
    found = [values[:key_bias] + values[key_bias + 1 :] for values in found]
    compare(*found, 3e-5)
