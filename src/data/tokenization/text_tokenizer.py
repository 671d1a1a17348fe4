"""Texts to token ids with the special tokens of a model: what a tokenizer.json says, run by `tokenizers`."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers
from tokenizers import decoders

from ...errors import UserError
from .settings import Settings, settings_of
from .template import Template, longest_first, template_of
from .vocabulary import BERT_NAMES, ROBERTA_NAMES, steps_of, token_text

BYTE_SPACE = "Ġ"  # a space in the vocabulary of byte-level BPE


class TextTokenizer:
    """A tokenizer from the content of its tokenizer.json; same ids as transformers.

    Truncation and padding in the file are switched off: the caller gives the length.

    document      content of tokenizer.json
    config        content of tokenizer_config.json, for the names of the special tokens
    vocab         {token: id}, added tokens included
    single, pair  Template of the special tokens around one text and two
    cls_id, sep_id           first and last special token of a row
    pad_id, mask_id, unk_id  None where the tokenizer has none
    """

    def __init__(self, document: dict[str, Any], config: Mapping[str, Any], source: object) -> None:
        self.document = {**document, "truncation": None, "padding": None}
        self.config = dict(config)
        self._backend = _backend(self.document, source)
        self.vocab: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        _check_unknown_token(self.document["model"], self.kind, self.vocab, source)
        self.single, self.pair = self._templates(source)
        self.cls_id, self.sep_id = self.single.gaps[0][0], self.single.gaps[-1][-1]
        self.pad_id, self.mask_id = self._id("pad"), self._id("mask")
        self.unk_id = self._unk_id()

    @property
    def kind(self) -> str:
        """The type of the model: WordPiece, BPE, Unigram or WordLevel."""
        return type(self._backend.model).__name__

    def _templates(self, source: object) -> tuple[Template, Template]:
        single, pair = (template_of(self._backend, count, source) for count in (1, 2))
        if not (single.gaps[0] and single.gaps[-1]):
            raise UserError(
                f"{source}: the post_processor does not put special tokens around a text, such as [CLS] and "
                "[SEP], which BERT's models need"
            )
        inputs = self.config.get("model_input_names")
        if isinstance(inputs, list) and "token_type_ids" not in inputs:
            return single.without_segments(), pair.without_segments()
        return single, pair

    def _id(self, role: str) -> int | None:
        given = token_text(self.config.get(f"{role}_token"))
        names = [str(given)] if given else [BERT_NAMES[role], ROBERTA_NAMES[role]]
        return next((self.vocab[name] for name in names if name in self.vocab), None)

    def _unk_id(self) -> int | None:
        model = self.document["model"]
        index = model.get("unk_id")
        index = self.vocab.get(model.get("unk_token")) if index is None else index
        return self._id("unk") if index is None else index

    def token(self, index: int | None) -> str | None:
        """The token of an id."""
        return None if index is None else self._backend.id_to_token(index)

    def count_unknown(self, ids: list[int]) -> int:
        """Number of unknown tokens among ids."""
        return 0 if self.unk_id is None else ids.count(self.unk_id)

    @functools.cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids that are no text: those around texts, [PAD], [UNK], [MASK] and added special tokens."""
        around = {index for template in (self.single, self.pair) for gap in template.gaps for index in gap}
        named = {index for index in (self.pad_id, self.mask_id, self.unk_id) if index is not None}
        added = self._backend.get_added_tokens_decoder()
        return frozenset({*around, *named, *(index for index, token in added.items() if token.special)})

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids without special tokens, as near to the original as the tokenizer keeps it."""
        return self._backend.decode(list(map(int, ids))).strip()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without the special tokens around it. Raises UserError where one is no text."""
        try:
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError:
            wrong = [text for text in texts if not isinstance(text, str)]
            if wrong:
                raise UserError(f"{wrong[0]!r} is a {type(wrong[0]).__name__}, not a text") from None
            raise UserError("a text is not valid Unicode: it contains a lone surrogate") from None
        return [encoding.ids for encoding in encodings]

    def split(self, text: str) -> list[str]:
        """The words of a text as the vocabulary is applied to them: normalized, added tokens like others."""
        normalizer, pre_tokenizer = self._backend.normalizer, self._backend.pre_tokenizer
        text = normalizer.normalize_str(text) if normalizer else text
        return [word for word, _ in pre_tokenizer.pre_tokenize_str(text)] if pre_tokenizer else [text]

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        """Ids of each word of each sentence, as in the sentence with a space between two words."""
        # Byte-level BPE has other tokens for a word after a space.
        spaced = [f" {word}" if place else word for words in sentences for place, word in enumerate(words)]
        ids = iter(self.encode(spaced))
        return [[next(ids) for _ in words] for words in sentences]

    def encode_with_spans(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """(ids, [(start, end)] offsets of each token without leading spaces) of each text; see `encode`."""
        encodings = self._backend.encode_batch(texts, add_special_tokens=False)
        return [
            (encoding.ids, [_trimmed(text, *span) for span in encoding.offsets])
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def encode_pairs(
        self, pairs: Sequence[tuple[str, str | None]], max_seq_length: int
    ) -> tuple[list[list[int]], list[list[int]], list[bool]]:
        """Encode (text_a, text_b or None) with special tokens, truncated as `longest_first`.

        Returns ids, segment ids and whether the pair was truncated, one entry per pair.
        """
        first = self.encode([a for a, _ in pairs])
        second = iter(self.encode([b for _, b in pairs if b is not None]))
        rows = [
            self._row(a, None if text_b is None else next(second), max_seq_length)
            for a, (_, text_b) in zip(first, pairs, strict=True)
        ]
        return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]

    def _row(
        self, a: list[int], b: list[int] | None, max_seq_length: int
    ) -> tuple[list[int], list[int], bool]:
        if b is None:
            kept = a[: max_seq_length - self.single.count]
            return *self.single.join([kept]), len(kept) < len(a)
        keep_a, keep_b = longest_first(len(a), len(b), max_seq_length - self.pair.count)
        return *self.pair.join([a[:keep_a], b[:keep_b]]), keep_a + keep_b < len(a) + len(b)

    @functools.cached_property
    def words(self) -> dict[int, str]:
        """{id: word} of the tokens that are a word after a space, or one end of it where they do not tell."""
        marker, model = self._space_marker, self.document["model"]
        if marker is None:
            prefix = model.get("continuing_subword_prefix") or ("##" if self.kind == "WordPiece" else "")
            suffix = model.get("end_of_word_suffix") or ""
            return {
                id_: token.removesuffix(suffix)
                for token, id_ in self.vocab.items()
                if token.endswith(suffix) and not (prefix and token.startswith(prefix))
            }
        texts = {id_: token for token, id_ in self.vocab.items() if token.startswith(marker)}
        if marker == BYTE_SPACE:
            decode = decoders.ByteLevel().decode
            return {id_: decode([token])[1:] for id_, token in texts.items()}
        return {id_: token.removeprefix(marker) for id_, token in texts.items()}

    @functools.cached_property
    def continuations(self) -> np.ndarray:
        """[largest id + 1] bool, true for the tokens that continue a word ("##ing")."""
        continuations = np.ones(max(self.vocab.values()) + 1, bool)
        # With a suffix at the end of words, a token does not tell whether it begins one.
        unmarked = self.vocab.values() if self.document["model"].get("end_of_word_suffix") else ()
        continuations[[*self.words, *self.special_ids, *unmarked]] = False
        return continuations

    @property
    def _space_marker(self) -> str | None:
        """What tokens after a space begin with; None if spaces leave no trace."""
        for step in steps_of(self.document.get("pre_tokenizer")):
            if step.get("type") == "ByteLevel":
                return BYTE_SPACE
            if step.get("type") == "Metaspace":
                return step.get("replacement", "▁")
        return None

    @functools.cached_property
    def settings(self) -> Settings:
        """What determines the ids, for the manifest of records; see `settings_of`."""
        return settings_of(json.loads(self._backend.to_str()), self.vocab, (self.single, self.pair))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span of a token without the spaces at its beginning."""
    while start < end and text[start].isspace():
        start += 1
    return start, end


def _backend(document: Mapping[str, Any], source: object) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(document))
    except BaseException as error:  # a panic of the library is not an Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UserError(
            f"{source} is not a tokenizer that tokenizers {tokenizers.__version__} can read: {error}"
        ) from None


def _check_unknown_token(
    model: Mapping[str, Any], kind: str, vocab: Mapping[str, int], source: object
) -> None:
    if model.get("dropout"):
        raise UserError(f"{source}: model.dropout {model['dropout']} makes the ids random; set it to null")
    unknown = model.get("unk_token")
    if unknown is not None and unknown not in vocab:
        raise UserError(f"{source}: the vocabulary lacks the unknown token {unknown}")
    if kind == "Unigram" and model.get("unk_id") is None and not model.get("byte_fallback"):
        raise UserError(f"{source}: its Unigram model has no unk_id, so it cannot encode every text")
