"""Tokenizers of folders without tokenizer.json: built from vocab.txt (WordPiece) or vocab.json and merges.txt
(byte-level BPE), as transformers builds them for the class that the files name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from ...digests import check_digest
from ...errors import UserError, join_names
from ...json_reader import read_json

CONFIG_FILE, SPECIAL_FILE, ADDED_FILE = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
MAX_BYTES = 1 << 28  # of a tokenizer.json; XLM-R's has 17 million
VOCAB_FILE, BPE_VOCAB_FILE, MERGES_FILE = "vocab.txt", "vocab.json", "merges.txt"
# What transformers calls a class that runs tokenizer.json as it is.
GENERIC_CLASSES = ("PreTrainedTokenizer", "TokenizersBackend")
# Classes (without "Fast") whose vocab.txt is BERT's, and whose vocab.json and merges.txt are RoBERTa's.
WORDPIECE_CLASSES = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer")
BPE_CLASSES = ("RobertaTokenizer",)
ROLES = ("pad", "unk", "cls", "sep", "mask")
BERT_NAMES = {role: f"[{role.upper()}]" for role in ROLES}
ROBERTA_NAMES = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
FLAGS = ("lstrip", "rstrip", "single_word", "normalized", "special")
# Keys of transformers' BERT tokenizers and of BertNormalizer.
BERT_SETTINGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def read_optional(path: Path) -> dict[str, Any]:
    """Contents of a JSON file, {} without the file. Raises UserError when it is not an object."""
    values = read_json(path, MAX_BYTES) if path.is_file() else {}
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a JSON object; download or copy it again")
    return values


def read_config(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json with the special tokens of special_tokens_map.json, {} without both.

    As in transformers the second file counts unless the first has an added_tokens_decoder. Raises UserError
    for values of the wrong type.
    """
    path = folder / CONFIG_FILE
    config = read_optional(path)
    if "added_tokens_decoder" not in config:
        config = {**config, **read_optional(folder / SPECIAL_FILE)}
    for key in BERT_SETTINGS:
        if config.get(key) is not None and type(config[key]) is not bool:
            raise UserError(f"{path}: {key} {config[key]!r} is not true or false")
    for role in ROLES:
        value = config.get(f"{role}_token")
        if value is not None and not isinstance(token_text(value), str):
            raise UserError(f"{path}: {role}_token {value!r} is not a string")
    return config


def token_text(value: object) -> object:
    """The text of a special token, which transformers writes as a string or as an object with `content`."""
    return value.get("content") if isinstance(value, dict) else value


def tokenizer_class(folder: Path, config: Mapping[str, Any]) -> str:
    """The class that transformers would build, without "Fast"; "" if the files do not say."""
    name = config.get("tokenizer_class")
    if not name:
        model = read_optional(folder / "config.json")
        name = model.get("tokenizer_class") or MODEL_CLASSES.get(str(model.get("model_type")), "")
    return str(name).removesuffix("Fast")


MODEL_CLASSES = {
    "bert": "BertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
}


def build(path: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """The tokenizer of a vocab.txt, or of a vocab.json with its merges.txt, with its added tokens.

    Raises UserError for a class of tokenizer that these files do not describe completely, by its name.
    """
    name, byte_level = tokenizer_class(path.parent, config), path.suffix == ".json"
    known = BPE_CLASSES if byte_level else WORDPIECE_CLASSES
    if (name and name not in known) or config.get("word_tokenizer_type", "basic") != "basic":
        raise UserError(
            f"{path.parent} has a {name or 'tokenizer with a word_tokenizer_type'} and no tokenizer.json; "
            f"{path.name} is enough for {join_names(known, len(known))} only{SAVE_HINT}"
        )
    backend = _byte_level(path, config) if byte_level else _word_piece(path, config)
    _add_tokens(backend, path.parent, config)
    return backend


SAVE_HINT = (
    '; where transformers can load it, AutoTokenizer.from_pretrained("FOLDER").save_pretrained("FOLDER") '
    "writes tokenizer.json"
)


def names_in(config: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, str]:
    """{role: token} of the special tokens, from tokenizer_config.json or the defaults of a class."""
    return {role: str(token_text(config.get(f"{role}_token")) or defaults[role]) for role in ROLES}


def _word_piece(path: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    vocab, names = read_vocab(path), names_in(config, BERT_NAMES)
    missing = [names[role] for role in ("unk", "cls", "sep") if names[role] not in vocab]
    if missing:
        raise UserError(f"{path} is not a BERT vocabulary: it lacks {', '.join(missing)}")
    backend = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=names["unk"]))
    # transformers lowercases by default, which makes [UNK] of the capitalized words of a cased vocabulary.
    cased = any(re.search("[A-Z]", piece) and not re.fullmatch(r"\[.*\]", piece) for piece in vocab)
    lower_case, chinese = config.get("do_lower_case"), config.get("tokenize_chinese_chars")
    backend.normalizer = normalizers.BertNormalizer(
        lowercase=not cased if lower_case is None else lower_case,
        strip_accents=config.get("strip_accents"),
        handle_chinese_chars=chinese is not False,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    sep, cls = ((names[role], vocab[names[role]]) for role in ("sep", "cls"))
    backend.post_processor = processors.BertProcessing(sep, cls)
    backend.add_special_tokens([token for token in names.values() if token in vocab])
    return backend


def _byte_level(path: Path, config: Mapping[str, Any]) -> tokenizers.Tokenizer:
    merges, names = path.with_name(MERGES_FILE), names_in(config, ROBERTA_NAMES)
    if not merges.is_file():
        raise UserError(f"{path} needs {MERGES_FILE} next to it, which does not exist; copy it there")
    for file in (path, merges):
        check_digest(file)
    try:
        model = models.BPE.from_file(str(path), str(merges))
    except Exception as error:
        raise UserError(f"{path} and {MERGES_FILE} are not a BPE vocabulary: {error}") from None
    backend = tokenizers.Tokenizer(model)
    prefix = bool(config.get("add_prefix_space", False))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    vocab = backend.get_vocab()
    missing = [names[role] for role in ("cls", "sep") if names[role] not in vocab]
    if missing:
        raise UserError(f"{path} is not a RoBERTa vocabulary: it lacks {', '.join(missing)}")
    sep, cls = ((names[role], vocab[names[role]]) for role in ("sep", "cls"))
    backend.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=prefix)
    backend.add_special_tokens([token for token in names.values() if token in vocab])
    return backend


def read_vocab(path: Path) -> dict[str, int]:
    """{piece: id} of a vocab.txt: one piece per line. Raises UserError when it is not UTF-8."""
    check_digest(path)
    try:
        pieces = path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a vocabulary: byte {error.start + 1} is not UTF-8") from None
    if not pieces[-1]:
        pieces.pop()
    return {piece.removesuffix("\r"): index for index, piece in enumerate(pieces)}


def _add_tokens(backend: tokenizers.Tokenizer, folder: Path, config: Mapping[str, Any]) -> None:
    """Add the tokens of added_tokens_decoder, or of added_tokens.json and additional_special_tokens."""
    expected, tokens = _added_tokens(folder, config)
    backend.add_tokens(tokens)
    for content, index in expected.items():
        if backend.token_to_id(content) != index:
            raise UserError(
                f'{folder}: the added token "{content}" has the id {index}, but the next free id of the '
                f"vocabulary is {backend.token_to_id(content)}; copy the tokenizer files of the model again"
            )


def _added_tokens(folder: Path, config: Mapping[str, Any]) -> tuple[dict[str, int], list[AddedToken]]:
    """({token: its id in the files}, the AddedTokens in the order of their ids)."""
    decoder = config.get("added_tokens_decoder")
    if decoder is not None:
        try:
            entries = sorted((int(index), _added_token(token)) for index, token in decoder.items())
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UserError(
                f"{folder / CONFIG_FILE}: added_tokens_decoder is not {{id: token}}; copy the file again"
            ) from None
        return {token.content: index for index, token in entries}, [token for _, token in entries]
    added = read_optional(folder / ADDED_FILE)
    if any(type(index) is not int for index in added.values()):
        raise UserError(f"{folder / ADDED_FILE} is not {{token: id}}; copy the file again")
    values = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    try:
        extra = [_added_token(value) for value in (values.values() if isinstance(values, dict) else values)]
    except (KeyError, TypeError):
        raise UserError(
            f"{folder / CONFIG_FILE}: additional_special_tokens is not a list of tokens; copy the file again"
        ) from None
    special = {*(token.content for token in extra), *map(str, names_in(config, BERT_NAMES).values())}
    tokens = [
        AddedToken(name, special=name in special, normalized=name not in special)
        for name in sorted(added, key=added.__getitem__)
    ]
    return added, [*tokens, *(token for token in extra if token.content not in added)]


def _added_token(value: Any) -> AddedToken:
    """The AddedToken of its description by transformers; a mere string is a special token."""
    if not isinstance(value, dict):
        return AddedToken(value, special=True, normalized=False)
    return AddedToken(value["content"], **{flag: value[flag] for flag in FLAGS if flag in value})


def documented(backend: tokenizers.Tokenizer) -> dict[str, Any]:
    """The content of the tokenizer.json of a tokenizer."""
    return json.loads(backend.to_str())


def steps_of(component: object) -> Iterable[dict[str, Any]]:
    """Each normalizer, or pre-tokenizer, of one in a tokenizer.json, those inside a Sequence one by one."""
    if isinstance(component, dict):
        yield component
        for key in ("normalizers", "pretokenizers"):
            for part in component.get(key) or ():
                yield from steps_of(part)
