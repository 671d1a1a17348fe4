"""Masked LM prediction: exactly the top logits, independent of batching."""

import numpy as np
import pytest

from src.infer.masked_lm import MaskedLMPredictor, bucketed, packed, top_k
from tests import tiny

CONFIG = tiny.TINY.replace(labels=())


@pytest.mark.parametrize("width, count", [(10, 3), (1000, 15), (30522, 18), (130, 2)])
def test_top_k_equals_a_full_sort(width, count):
    draw = np.random.default_rng(width)
    values = draw.standard_normal((20, width)).astype(np.float32)
    values[10:] = np.round(values[10:])  # many ties, ordered by column
    values[:, : width // 3] = -np.inf
    expected = np.argsort(-values, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(top_k(values, count), expected)


class RuleNetwork:
    """A network that predicts words by a rule and records the tokens of its calls."""

    def __init__(self):
        self.tokens = []

    def __call__(self, *columns):
        import mindspore as ms

        ids, types, sequences, position_ids, positions = (tensor.asnumpy() for tensor in columns)
        self.tokens.append(len(ids))
        assert ids.dtype == np.int32 and (ids[sequences == 0] == 0).all()
        logits = np.zeros((len(positions), 8), np.float32)
        for row, number in enumerate(range(1, sequences.max() + 1)):
            own = np.flatnonzero(sequences == number)
            assert (np.diff(own) == 1).all() and (position_ids[own] == np.arange(len(own))).all()
            # Top 3: the number of tokens, that of the second segment, the id at the masked position.
            for value, word in ((3, len(own)), (2, types[own].sum()), (1, ids[positions[row]])):
                assert positions[row] in own
                logits[row, word - 1] = value
        return ms.Tensor(logits)


def rule_contexts():
    draw = np.random.default_rng(0)
    contexts, expected = [], []
    for size in draw.permutation([5] * 4 + [6] * 3 + [8] * 2 + [7]):
        first, position = int(size) - 2, 1
        ids = [8] * int(size)
        ids[position] = 4 if size == 5 else 1
        contexts.append((tuple(ids), first, position))
        expected.append([size, 2, 4 if size == 5 else 1])
    return contexts, expected


@pytest.mark.parametrize(
    "batching, calls",
    [
        (bucketed([4, 6, 8], 3), [18] * 3 + [24]),
        (packed(16, 3), [16] * 5),  # 61 tokens, but 8 + 6 + 5 do not fit
        (packed(24, 3), [24] * 4),
        (packed(61, 10), [61]),
    ],
    ids=["bucketed", "tokens", "batch_size", "one"],
)
def test_contexts_are_batched_and_keep_their_order(batching, calls):
    network, (contexts, expected) = RuleNetwork(), rule_contexts()
    predict = MaskedLMPredictor(network, np.arange(1, 9), batching, 10 if calls == [61] else 3, 3)
    assert predict(contexts).tolist() == expected
    assert sorted(network.tokens) == calls and predict([]).shape == (0, 3)


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "bucketed"])
def test_batched_predictions_match_single_ones(graph_mode, request, packs):
    """Compare with argsort of the plain network's logits for each context alone, without padding."""
    import mindspore as ms

    from src.model.masked_lm import BertMaskedLM, WordLogits
    from src.model.state_dict import load_strict, weight_arrays
    from src.stages.model.device import kernel_parts

    plain = network = tiny.random_masked_lm(CONFIG)
    if packs:
        layers = kernel_parts(request.getfixturevalue("library"))["layers"]
        network = BertMaskedLM(CONFIG, layers).set_train(False)
        load_strict(network, weight_arrays(plain), "the plain network")
    words, draw = np.arange(10, CONFIG.vocab_size), np.random.default_rng(2)
    contexts = []
    for size in (7, 12, 3, 16, 9, 7, 7, 4, 11):
        ids = draw.integers(5, CONFIG.vocab_size, size)
        ids[size // 2] = 4
        contexts.append((tuple(map(int, ids)), size - size // 3, size // 2))
    logits, cell = WordLogits(network, words), []
    assert logits.can_pack == packs

    def forward(*columns):
        cell.append(logits(*columns))
        return cell[-1]

    batching = packed(32, 4) if packs else bucketed([8, 16], 4)
    predictions = MaskedLMPredictor(forward, words, batching, 4, 6)(contexts)
    for (ids, first, position), prediction in zip(contexts, predictions, strict=True):
        types = np.arange(len(ids)) >= first
        batch = (np.array([ids]), types[None], np.ones((1, len(ids))), np.array([position]))
        alone = plain(*(ms.Tensor(column.astype(np.int32)) for column in batch)).asnumpy()[0, words]
        assert prediction.tolist() == words[np.argsort(-alone, kind="stable")[:6]].tolist()
        found = np.concatenate([each.asnumpy() for each in cell])
        assert np.abs(found - alone).max(axis=1).min() < 1e-4
    assert len({tuple(prediction) for prediction in predictions}) > 5
    # Bit for bit, whatever the other contexts.
    again = MaskedLMPredictor(forward, words, batching, 4, 6)
    cell.clear()
    again(contexts[:1])
    assert (found == cell[0].asnumpy()[0]).all(axis=1).any()
