"""A tokenizer with a part of its vocabulary, which tokenizes the texts that the part is from as before.

WordPiece takes the longest piece at each place, Unigram the likeliest pieces (Kudo 2018) and BPE the earliest
merge (Sennrich et al. 2016): where all that the complete vocabulary took is kept, nothing that is kept can
come before it. What a tokenizer took without showing it is traced: the pieces before a place where WordPiece
gave up, and the merges inside a token of BPE.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import UserError
from .text_tokenizer import TextTokenizer

KINDS = ("WordPiece", "WordLevel", "Unigram", "BPE")
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")  # of byte_fallback
MAX_CHARS = 100  # of a WordPiece word, unless the model says otherwise


def check_prunable(tokenizer: TextTokenizer, source: object) -> None:
    """Raise UserError for a tokenizer whose vocabulary cannot be reduced exactly."""
    model, reason = tokenizer.document["model"], ""
    if tokenizer.kind not in KINDS:
        reason = f"a {tokenizer.kind} model"
    elif tokenizer.kind == "BPE":
        affixes = ("continuing_subword_prefix", "end_of_word_suffix")
        reason = next((f"BPE with {name}" for name in affixes if model.get(name)), "")
    if reason:
        raise UserError(
            f"the vocabulary of {source} is {reason}, which is not pruned; leave --vocabulary_from out"
        )


def basic_ids(tokenizer: TextTokenizer) -> set[int]:
    """Ids to keep whatever the texts: added and special tokens, single characters and their continuations.

    Of Unigram also the piece of the lowest score, from which the score of an unknown character is derived,
    and of byte_fallback the bytes.
    """
    document, vocab = tokenizer.document, tokenizer.vocab
    added = document.get("added_tokens") or ()
    kept = {*tokenizer.special_ids, *(vocab[token["content"]] for token in added)}
    prefix = {"WordPiece": _prefix(tokenizer), "Unigram": "▁"}.get(tokenizer.kind, "")
    if tokenizer.kind == "Unigram":
        pieces = document["model"]["vocab"]
        kept.add(min(range(len(pieces)), key=lambda index: pieces[index][1]))
    kept.update(index for token, index in vocab.items() if len(token.removeprefix(prefix)) <= 1)
    if document["model"].get("byte_fallback"):
        kept.update(index for token, index in vocab.items() if BYTE_TOKEN.fullmatch(token))
    return kept


def text_ids(tokenizer: TextTokenizer, texts: Sequence[str]) -> set[int]:
    """Ids of the tokens of texts, and of those that WordPiece took in a word before it gave up."""
    met: set[int] = set()
    for text, ids in zip(texts, tokenizer.encode(texts), strict=True):
        met.update(ids)
        if tokenizer.unk_id in ids and tokenizer.kind == "WordPiece":
            met |= _pieces_of_words(tokenizer, text)
    return met


def _pieces_of_words(tokenizer: TextTokenizer, text: str) -> set[int]:
    taken: set[int] = set()
    longest = tokenizer.document["model"].get("max_input_chars_per_word", MAX_CHARS)
    for word in tokenizer.split(text):
        if len(word) <= longest:
            taken.update(_longest_first(word, tokenizer.vocab, _prefix(tokenizer)))
    return taken


def _prefix(tokenizer: TextTokenizer) -> str:
    """What pieces of WordPiece inside a word begin with."""
    return tokenizer.document["model"].get("continuing_subword_prefix", "##")


def _longest_first(word: str, vocab: Mapping[str, int], prefix: str) -> Iterable[int]:
    start = 0
    while start < len(word):
        pieces = ((prefix if start else "") + word[start:end] for end in range(len(word), start, -1))
        piece = next((piece for piece in pieces if piece in vocab), None)
        if piece is None:
            return
        yield vocab[piece]
        start += len(piece) - (len(prefix) if start else 0)


def merged_ids(tokenizer: TextTokenizer, ids: Iterable[int]) -> set[int]:
    """`ids` and, for BPE, those of all tokens that were merged into them."""
    ids = set(ids)
    if tokenizer.kind != "BPE":
        return ids
    ranks = {pair: rank for rank, pair in enumerate(_merges(tokenizer.document["model"]))}
    for index in tuple(ids):
        symbols = list(tokenizer.token(index) or "")
        while True:
            ids.update(tokenizer.vocab[symbol] for symbol in symbols if symbol in tokenizer.vocab)
            pairs = list(zip(symbols, symbols[1:], strict=False))
            place = min(range(len(pairs)), key=lambda i: ranks.get(pairs[i], len(ranks)), default=None)
            if place is None or pairs[place] not in ranks:
                break
            symbols[place : place + 2] = ["".join(pairs[place])]
    return ids


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The merges of a BPE model; older files write each as "a b"."""
    return [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]]


def keep_ids(tokenizer: TextTokenizer, ids: np.ndarray, source: object) -> TextTokenizer:
    """The tokenizer with the tokens `ids` (ascending) alone; the token ids[i] gets the id i."""
    document, new_id = copy.deepcopy(tokenizer.document), {int(old): new for new, old in enumerate(ids)}
    model = document["model"]
    if tokenizer.kind == "Unigram":
        model["vocab"] = [piece for index, piece in enumerate(model["vocab"]) if index in new_id]
        if model.get("unk_id") is not None:
            model["unk_id"] = new_id[model["unk_id"]]
    else:
        entries = sorted(model["vocab"].items(), key=lambda entry: entry[1])
        model["vocab"] = {token: new_id[index] for token, index in entries if index in new_id}
    if tokenizer.kind == "BPE":
        vocab = model["vocab"]
        kept = (pair for pair in _merges(model) if {*pair, "".join(pair)} <= vocab.keys())
        model["merges"] = [list(pair) for pair in kept]
    for token in document.get("added_tokens") or ():
        token["id"] = new_id[tokenizer.vocab[token["content"]]]
    _renumber(document.get("post_processor"), new_id)
    config = dict(tokenizer.config)
    decoder = config.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        kept_entries = ((new_id.get(int(index)), token) for index, token in decoder.items())
        config["added_tokens_decoder"] = {str(new): token for new, token in kept_entries if new is not None}
    pruned = TextTokenizer(document, config, source)
    expected = {token: new_id[index] for token, index in tokenizer.vocab.items() if index in new_id}
    if pruned.vocab != expected:
        raise UserError(
            f"the added tokens of {source} are not at the end of its vocabulary, which is not pruned; leave "
            "--vocabulary_from out"
        )
    return pruned


def _renumber(processor: object, new_id: Mapping[int, int]) -> None:
    """Give the special tokens of a post-processor, in place, their new ids."""
    if not isinstance(processor, dict):
        return
    for end in ("sep", "cls"):
        if end in processor:
            token, index = processor[end]
            processor[end] = [token, new_id[index]]
    for token in (processor.get("special_tokens") or {}).values():
        token["ids"] = [new_id[index] for index in token["ids"]]
    for part in processor.get("processors") or ():
        _renumber(part, new_id)
