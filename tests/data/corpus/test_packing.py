"""Rows of parts A and B: every token once, no two documents in a row, lengths as asked for."""

import numpy as np
import pytest

from src.data.corpus.packing import PackingRules, pack, packing_rules, split_long
from src.data.tokenization.tokenizer import load_tokenizer

VOCABULARY = 50
# Ids from 40 on go on a word.
CONTINUATIONS = np.arange(VOCABULARY) >= 40


def documents(seed, longest=60, count=30):
    """{key: sentences}, sentences lists of ids."""
    draw = np.random.default_rng(seed)
    return {
        (0, k): [
            draw.integers(0, VOCABULARY, draw.integers(0, longest)).tolist()
            for _ in range(draw.integers(1, 12))
        ]
        for k in range(count)
    }


def packed(texts, rules, seed=7):
    """[(key, A, B)] of all rows."""
    stream = ((key, ids) for key, sentences in texts.items() for ids in sentences)
    return list(pack(stream, rules, lambda key: np.random.default_rng([seed, *key])))


@pytest.mark.parametrize("short", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("capacity", [5, 29, 125])
def test_packing_keeps_every_token_once_in_order(capacity, short):
    texts = documents(capacity)
    rows = packed(texts, PackingRules(capacity, short, CONTINUATIONS))
    assert all(a and len(a) + len(b) <= capacity for _, a, b in rows)
    for key, sentences in texts.items():
        assert sum((a + b for k, a, b in rows if k == key), []) == sum(sentences, [])
    assert [key for key, *_ in rows] == sorted(key for key, *_ in rows)


def test_segments_split_between_sentences():
    texts = documents(1, longest=20)
    rules = PackingRules(29, 0.1, CONTINUATIONS)
    for key, sentences in texts.items():
        ends = set(np.cumsum([len(s) for s in sentences]).tolist())
        place = 0
        for a, b in ((a, b) for k, a, b in packed({key: sentences}, rules)):
            assert place + len(a) in ends and place + len(a) + len(b) in ends
            place += len(a) + len(b)


def test_rows_are_filled_with_whole_sentences():
    rules = PackingRules(10, 0.0, CONTINUATIONS)
    rows = packed({(0, 0): [[1] * 4, [2] * 5, [3] * 2, [4] * 10, [5]]}, rules)
    assert [sorted(a + b) for _, a, b in rows] == [[1] * 4 + [2] * 5, [3] * 2, [4] * 10, [5]]


def test_a_single_sentence_has_no_second_segment():
    rows = packed({(0, 0): [[1, 2, 3]]}, PackingRules(10, 0.0, CONTINUATIONS))
    assert rows == [((0, 0), [1, 2, 3], [])]


def test_the_share_of_short_rows():
    texts = {(0, 0): [[1]] * 100_000}
    lengths = [len(a) + len(b) for _, a, b in packed(texts, PackingRules(20, 0.3, CONTINUATIONS))]
    # A target of 20 drawn from 2..20 is not short.
    assert np.mean(np.array(lengths) < 20) == pytest.approx(0.3 * 18 / 19, abs=0.03)
    assert min(lengths[:-1]) == 2


def test_long_sentences_are_split_between_words():
    rules = PackingRules(4, 0.0, CONTINUATIONS)
    assert list(split_long([1, 2, 3, 41, 42, 4], rules)) == [[1, 2], [3, 41, 42, 4]]
    assert list(split_long([1] + [41] * 8, rules)) == [[1, 41, 41, 41], [41] * 4, [41]]
    assert list(split_long([], rules)) == []


def test_rows_of_a_document_are_independent():
    texts = documents(5)
    rules = PackingRules(29, 0.1, CONTINUATIONS)
    alone = [row for key in texts for row in packed({key: texts[key]}, rules)]
    assert alone == packed(texts, rules)
    assert alone != packed(texts, rules, seed=8)


def test_packing_rules(tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    rules = packing_rules(load_tokenizer(tmp_path), 16, 0.1)
    assert rules.capacity == 13 and rules.continuations.tolist() == [False] * 6 + [True]
