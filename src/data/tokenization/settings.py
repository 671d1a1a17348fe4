"""Settings of a tokenizer in the manifest of records: they tell whether two tokenizers give the same ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .template import Template
from .vocabulary import steps_of

Settings = dict[str, "str | int | bool"]

# Manifests of earlier versions describe BERT's own tokenizer and have no "type".
BERT_MODEL = {
    "type": "WordPiece",
    "unk_token": "[UNK]",
    "continuing_subword_prefix": "##",
    "max_input_chars_per_word": 100,
}
PLAIN_TOKEN = {"special": True, "normalized": False, "single_word": False, "lstrip": False, "rstrip": False}
PARTS = ("added_tokens", "normalizer", "pre_tokenizer", "model")


def settings_of(
    serialized: dict[str, Any], vocab: Mapping[str, int], templates: Sequence[Template]
) -> Settings:
    """Type, vocabulary (hash and size) and the hash of all that determines the ids.

    BERT's own tokenizer also has lower_case, strip_accents and chinese.

    serialized  the tokenizer as `tokenizers` serializes it; modified
    vocab       {token: id}, added tokens included
    templates   special tokens around one text and two
    """
    by_id = sorted(vocab.items(), key=lambda entry: entry[1])
    pieces = "\n".join(f"{piece}\t{index}" for piece, index in by_id)
    settings: Settings = {
        "vocab_sha256": hashlib.sha256(pieces.encode()).hexdigest(),
        "vocab_size": by_id[-1][1] + 1,
    }
    for step in steps_of(serialized["normalizer"]):
        if step["type"] == "BertNormalizer" and step["strip_accents"] is None:
            step["strip_accents"] = step["lowercase"]
    if _is_bert(serialized, vocab, templates):
        normalizer = serialized["normalizer"]
        settings["lower_case"] = normalizer["lowercase"]
        settings["strip_accents"] = normalizer["strip_accents"]
        settings["chinese"] = normalizer["handle_chinese_chars"]
    settings["type"] = serialized["model"]["type"]
    whole = {**{name: serialized[name] for name in PARTS}, "templates": list(map(repr, templates))}
    return {**settings, "hash": hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()}


def _is_bert(serialized: Mapping[str, Any], vocab: Mapping[str, int], templates: Sequence[Template]) -> bool:
    """Whether a tokenizer is BERT's own, so that its vocabulary and normalizer determine it."""
    model, normalizer = serialized["model"], serialized["normalizer"] or {}
    cls, sep = ((vocab.get(token, -1),) for token in ("[CLS]", "[SEP]"))
    return (
        BERT_MODEL.items() <= {**model, "vocab": None}.items()
        and (normalizer.get("type"), normalizer.get("clean_text")) == ("BertNormalizer", True)
        and serialized["pre_tokenizer"] == {"type": "BertPreTokenizer"}
        and all(token["content"] in model["vocab"] for token in serialized["added_tokens"])
        and all(PLAIN_TOKEN.items() <= token.items() for token in serialized["added_tokens"])
        and list(templates)
        == [
            Template((cls, sep), ((0,), (0,)), (0,)),
            Template((cls, sep, sep), ((0,), (0,), (1,)), (0, 1)),
        ]
    )


def differing_setting(settings: Mapping[str, Any], others: Mapping[str, Any]) -> str | None:
    """The first setting in which two manifests, or a tokenizer and a manifest, differ; None if in none."""
    # Older manifests have no type, and another hash: all else of their tokenizer is BERT's.
    mixed = ("type" in settings) != ("type" in others)
    keys = [key for key in {**settings, **others} if not (mixed and key in ("type", "hash"))]
    return next((key for key in keys if settings.get(key) != others.get(key)), None)
