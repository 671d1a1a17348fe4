"""The 15 % that are masked: how many, which, and by what."""

import numpy as np
import pytest

from src.data.corpus.masking import Masking
from src.data.tokenization.tokenizer import load_tokenizer
from src.errors import UserError
from tests import tiny


def test_shares(vocabulary):
    tokenizer = load_tokenizer(vocabulary)
    masking, draw = Masking(tokenizer, 0.15), np.random.default_rng(1)
    row = np.array([2, *[20] * 60, 3, *[30] * 60, 3])
    masked = np.array([masking(row.tolist(), draw) for _ in range(2000)])
    assert (masked[:, [0, 61, -1]] == [2, 3, 3]).all()
    changed = masked != row
    assert (changed.sum(axis=1) <= 18).all()
    # Of 18 of 120 tokens a tenth stays as it is, and a random token may be the same again.
    assert changed.mean() == pytest.approx(18 / 123 * 0.9, rel=0.02)
    assert (masked == tokenizer.vocab["[MASK]"]).sum() / (2000 * 18) == pytest.approx(0.8, rel=0.02)
    others = masked[changed & (masked != tokenizer.vocab["[MASK]"])]
    assert set(others.tolist()) == set(range(5, len(tiny.VOCABULARY)))


def test_at_least_one_token_and_no_special_token(vocabulary):
    masking, draw = Masking(load_tokenizer(vocabulary), 0.01), np.random.default_rng(1)
    rows = np.array([masking([2, 20, 3], draw) for _ in range(200)])
    assert (rows[:, [0, 2]] == [2, 3]).all() and (rows[:, 1] == 4).mean() > 0.6


def test_masking_disabled(vocabulary):
    assert Masking(load_tokenizer(vocabulary), 0.0)([2, 20, 3], None) == [2, 20, 3]


def test_a_vocabulary_without_mask(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]))
    with pytest.raises(UserError, match=r"needs a vocabulary with \[MASK\]"):
        Masking(load_tokenizer(tmp_path), 0.15)
