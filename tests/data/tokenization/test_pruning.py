"""A smaller vocabulary: the texts that it is from keep their tokens, and no other text gets unknown."""

import functools
import json

import numpy as np
import pytest
import tokenizers

from src.data.tokenization import pruning
from src.data.tokenization.tokenizer import load_tokenizer, write_tokenizer
from src.errors import UserError
from tests import tiny
from tests.data.tokenization import kinds

TEXTS, OTHERS = kinds.odd_sentences(120), kinds.plain_sentences(60)
REFUSED = "BPE with </w>"


@functools.cache
def few_characters(cased=False):
    """{piece: id} of a WordPiece vocabulary that knows 150 characters, so that many words are unknown."""
    trained = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=not cased)
    trained.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=1200, limit_alphabet=150, special_tokens=kinds.BERT, show_progress=False
    )
    trained.train_from_iterator([*kinds.plain_sentences(400), *kinds.odd_sentences(200)], trainer)
    return trained.get_vocab()


def pruned_to(tokenizer, texts):
    """(the tokenizer with the vocabulary of texts, the ids kept)"""
    pruning.check_prunable(tokenizer, "the model")
    ids = pruning.text_ids(tokenizer, texts) | pruning.basic_ids(tokenizer)
    ids = np.array(sorted(pruning.merged_ids(tokenizer, ids)))
    return pruning.keep_ids(tokenizer, ids, "the model"), ids


def tokens_of(tokenizer, texts):
    return [[tokenizer.token(index) for index in row] for row in tokenizer.encode(texts)]


@pytest.mark.parametrize("name", [name for name in kinds.KINDS if name != REFUSED])
def test_texts_keep_their_tokens(name, tmp_path, monkeypatch):
    monkeypatch.setattr(kinds, "word_piece_vocab", few_characters)
    kinds.KINDS[name](tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    pruned, ids = pruned_to(tokenizer, TEXTS[::2])
    assert len(ids) < len(tokenizer.vocab)
    assert tokens_of(pruned, TEXTS[::2]) == tokens_of(tokenizer, TEXTS[::2])
    # The rows of the embedding table that are kept are those of the same tokens.
    assert {
        token: int(ids[index]) for token, index in pruned.vocab.items()
    }.items() <= tokenizer.vocab.items()
    for kind, old in ((pruned.single, tokenizer.single), (pruned.pair, tokenizer.pair)):
        assert [tuple(ids[list(gap)]) for gap in kind.gaps] == list(old.gaps)
    # Written and read again, as a model folder has it.
    out = tmp_path / "out"
    out.mkdir()
    write_tokenizer(pruned, out)
    assert load_tokenizer(out).encode(TEXTS + OTHERS) == pruned.encode(TEXTS + OTHERS)
    # Known characters stay known: unknown tokens of other texts are those of before.
    for before, after in zip(tokenizer.encode(OTHERS), pruned.encode(OTHERS), strict=True):
        assert pruned.count_unknown(after) == tokenizer.count_unknown(before)


def word_piece(folder, *pieces):
    return load_tokenizer(tiny.write_vocabulary(folder, (*tiny.SPECIAL, *pieces)))


def test_a_word_that_was_unknown_stays_unknown(tmp_path):
    """Of "abc" WordPiece takes "ab" and gives up; without "ab" it would find "a", "##bc"."""
    tokenizer = word_piece(tmp_path, "a", "ab", "##bc", "bc", "xbc", "x", "##b")
    texts = ["abc", "xbc xbbc"]  # the second text needs "xbc" and "##bc", not "ab"
    assert tokens_of(tokenizer, texts) == [["[UNK]"], ["xbc", "x", "##b", "##bc"]]
    pruned, ids = pruned_to(tokenizer, texts)
    assert tokens_of(pruned, texts) == tokens_of(tokenizer, texts)
    assert set(pruned.vocab) == {*tiny.SPECIAL, "a", "ab", "##bc", "xbc", "x", "##b"}
    without = pruning.keep_ids(tokenizer, ids[ids != tokenizer.vocab["ab"]], "the model")
    assert tokens_of(without, texts)[0] == ["a", "##bc"]


def test_merges_inside_a_token_of_bpe(tmp_path):
    """Like "abcd", which is merged from "ab" and "cd", neither of which a text shows."""
    kinds.roberta()(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    words = (token for token in tokenizer.vocab if token.isascii() and token.isalpha() and "x" not in token)
    token = max(words, key=len)
    pruned, ids = pruned_to(tokenizer, [token])
    assert tokens_of(pruned, [token]) == [[token]]
    merges = pruned.document["model"]["merges"]
    assert len(token) - 1 <= len(merges) < len(tokenizer.document["model"]["merges"])
    shown = pruning.text_ids(tokenizer, [token]) | pruning.basic_ids(tokenizer)
    without = pruning.keep_ids(tokenizer, np.array(sorted(shown)), "the model")
    assert tokens_of(without, [token]) != [[token]]


def test_added_tokens_of_the_config(tmp_path):
    kinds.KINDS["added tokens, added_tokens_decoder"](tmp_path)
    pruned, ids = pruned_to(load_tokenizer(tmp_path), ["COVID-19"])
    decoder = pruned.config["added_tokens_decoder"]
    size = len(ids)
    assert {index: token["content"] for index, token in decoder.items()} == {
        str(size - 2): "COVID-19",
        str(size - 1): "<user>",
    }


def test_what_cannot_be_exact(tmp_path):
    kinds.KINDS[REFUSED](tmp_path)
    with pytest.raises(UserError, match="BPE with end_of_word_suffix, which is not pruned; leave"):
        pruned_to(load_tokenizer(tmp_path), TEXTS)


@pytest.mark.reference
@pytest.mark.parametrize("name", ["BERT uncased", "RoBERTa", "XLM-R"])
def test_transformers(name, tmp_path):
    """transformers opens the written files and finds the same ids."""
    from transformers import AutoTokenizer

    assert name in kinds.KINDS
    kinds.KINDS[name](tmp_path)
    pruned, _ = pruned_to(load_tokenizer(tmp_path), TEXTS)
    for file in tmp_path.iterdir():
        if file.name != "config.json":
            file.unlink()
    write_tokenizer(pruned, tmp_path)
    expected = AutoTokenizer.from_pretrained(tmp_path)(TEXTS + OTHERS)["input_ids"]
    found, _, _ = pruned.encode_pairs([(text, None) for text in TEXTS + OTHERS], 10_000)
    assert found == expected
    assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["type"] == pruned.kind
