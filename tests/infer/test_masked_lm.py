"""Masked LM prediction: exactly the top logits, independent of batching."""

import numpy as np
import pytest

from src.infer.masked_lm import MaskedLMPredictor, top_k
from tests import tiny

CONFIG = tiny.TINY.replace(labels=())
PIECES = CONFIG.vocab_size


@pytest.mark.parametrize("width, count", [(10, 3), (1000, 15), (30522, 18), (130, 2)])
def test_top_k_equals_a_full_sort(width, count):
    draw = np.random.default_rng(width)
    values = draw.standard_normal((20, width)).astype(np.float32)
    values[10:] = np.round(values[10:])  # many ties, ordered by column
    values[:, : width // 3] = -np.inf
    expected = np.argsort(-values, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(top_k(values, count), expected)


class RuleNetwork:
    """A network that predicts by a rule and records its input shapes."""

    def __init__(self):
        self.shapes = []

    def __call__(self, ids, types, mask, positions):
        import mindspore as ms

        ids, types, mask, positions = (tensor.asnumpy() for tensor in (ids, types, mask, positions))
        self.shapes.append(ids.shape)
        assert ids.dtype == np.int32 and (ids * (1 - mask) == 0).all() and mask.any(axis=1).all()
        rows = np.arange(len(ids))
        assert (positions // ids.shape[1] == rows).all()
        logits = np.zeros((len(ids), 9), np.float32)
        # Top 3: the number of real tokens, that of the second segment, the id at the masked position.
        for value, key in ((3, mask.sum(1)), (2, types.sum(1)), (1, ids.reshape(-1)[positions])):
            logits[rows, key % 9] = value
        return ms.Tensor(logits)


def test_contexts_are_batched_by_length_and_keep_their_order():
    allowed = np.ones(9, bool)
    allowed[0] = False
    network = RuleNetwork()
    predict = MaskedLMPredictor(network, allowed, [4, 6, 8], 3, 3)
    draw = np.random.default_rng(0)
    contexts, expected = [], []
    for size in draw.permutation([5] * 4 + [6] * 3 + [8] * 2 + [7]):
        first, position = int(size) - 2, 1
        ids = [8] * int(size)
        ids[position] = 4 if size == 5 else 1
        contexts.append((tuple(ids), first, position))
        expected.append([size, 2, 4 if size == 5 else 1])
    predictions = predict(contexts)
    for prediction, ids in zip(predictions, expected, strict=True):
        assert prediction.tolist() == ids
    assert sorted(network.shapes) == [(3, 6)] * 3 + [(3, 8)] and predict([]).shape == (0, 3)


def test_batched_predictions_match_single_ones(graph_mode):
    """Compare with argsort of the network's logits for each context alone, without padding."""
    import mindspore as ms

    network = tiny.random_masked_lm(CONFIG)
    allowed = np.arange(PIECES) >= 10
    draw = np.random.default_rng(2)
    rows = draw.integers(5, PIECES, (9, 7))
    rows[:, 3] = 4
    contexts = [(tuple(map(int, row)), 7, 3) for row in rows]
    predictions = MaskedLMPredictor(network, allowed, [16], 4, 6)(contexts)
    for row, prediction in zip(rows.astype(np.int32), predictions, strict=True):
        batch = (row[None], np.zeros((1, 7), np.int32), np.ones((1, 7), np.int32), np.array([3], np.int32))
        logits = network(*map(ms.Tensor, batch)).asnumpy()[0]
        logits[~allowed] = -np.inf
        assert prediction.tolist() == np.argsort(-logits, kind="stable")[:6].tolist()
    assert len({tuple(prediction) for prediction in predictions}) > 5
