"""Loads the tokenizer of a model from its files.

    tokenizer = load_tokenizer(PATH)     a model folder, tokenizer.json, vocab.txt or vocab.json
    tokenizer = model_tokenizer(files)   that of ModelFiles, checked against the model's vocabulary
    write_tokenizer(tokenizer, FOLDER)   tokenizer.json, tokenizer_config.json, vocab.txt
    set_max_length(FOLDER, 512)          for files copied to a model folder: no padding, truncation at 512

The TextTokenizer works for WordPiece, byte-level BPE (RoBERTa) and Unigram (XLM-R, CamemBERT): use its
`single` and `pair` templates for the special tokens around texts, `mask_id`, `pad_id`, `unk_id`, and `words`
for the tokens that begin a word, instead of [CLS], 0 or `##`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ...files import write_json, write_text
from ...json_reader import read_json
from .text_tokenizer import TextTokenizer
from .vocabulary import (
    BERT_NAMES,
    BERT_SETTINGS,
    BPE_VOCAB_FILE,
    CONFIG_FILE,
    GENERIC_CLASSES,
    MAX_BYTES,
    ROLES,
    SAVE_HINT,
    VOCAB_FILE,
    build,
    documented,
    names_in,
    read_config,
    read_optional,
    read_vocab,
    steps_of,
    tokenizer_class,
)

if TYPE_CHECKING:
    from ...stages.model.inference import InferenceModel
    from ...stages.model.load import ModelFiles

__all__ = [
    "WRITTEN",
    "TextTokenizer",
    "load_tokenizer",
    "model_tokenizer",
    "set_max_length",
    "write_tokenizer",
]

TOKENIZER_FILE = "tokenizer.json"
WRITTEN = (VOCAB_FILE, TOKENIZER_FILE, CONFIG_FILE)
SENTENCEPIECE_FILES = ("sentencepiece.bpe.model", "spiece.model", "tokenizer.model")


def load_tokenizer(vocab_file: str | Path, do_lower_case: bool | None = None) -> TextTokenizer:
    """Load a tokenizer from a tokenizer.json, vocab.txt, vocab.json or a folder with one of them.

    A tokenizer.json is run as it is, except that tokenizer_config.json decides about casing, accents and
    Chinese characters, and the prefix space, where its class does in transformers. Other vocabularies are
    built as transformers builds them. `do_lower_case` overrides. Raises UserError when the file is missing or
    is not a tokenizer for BERT's models.
    """
    path = _tokenizer_file(Path(vocab_file))
    config = read_config(path.parent)
    if path.name == TOKENIZER_FILE or path.suffix == ".json" and path.name != BPE_VOCAB_FILE:
        document = _with_config(_read_document(path), path.parent, config)
    else:
        document = documented(build(path, config))
    if do_lower_case is not None:
        _set_lower_case(document, do_lower_case, path)
        config["do_lower_case"] = do_lower_case
    return TextTokenizer(document, config, path)


def _tokenizer_file(path: Path) -> Path:
    if path.is_dir():
        for name in (TOKENIZER_FILE, VOCAB_FILE, BPE_VOCAB_FILE):
            if (path / name).is_file():
                return path / name
        for name in SENTENCEPIECE_FILES:
            if (path / name).is_file():
                raise UserError(f"{path} has {name} but no tokenizer.json, which is required{SAVE_HINT}")
        raise UserError(f"{path} holds neither {VOCAB_FILE} nor {TOKENIZER_FILE}")
    if not path.is_file():
        raise UserError(
            f"vocab_file {path} does not exist; give a vocab.txt, a tokenizer.json or a model folder"
        )
    if path.name in SENTENCEPIECE_FILES:
        raise UserError(f"{path} is not read: give tokenizer.json{SAVE_HINT}")
    # The tokenizer.json next to a vocab.txt says how to use the same vocabulary.
    beside = path.with_name(TOKENIZER_FILE)
    if path.name == VOCAB_FILE and beside.is_file():
        vocab = (read_optional(beside).get("model") or {}).get("vocab")
        return beside if vocab == read_vocab(path) else path
    return path


def _read_document(path: Path) -> dict[str, Any]:
    document = read_json(path, MAX_BYTES)
    if not isinstance(document, dict):
        raise UserError(f"{path} is not a JSON object; download or copy it again")
    if not isinstance(document.get("model"), dict):
        raise UserError(f"{path} does not describe a tokenizer: it has no model; copy it again")
    return document


def _with_config(document: dict[str, Any], folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """A tokenizer.json with the settings that the class of tokenizer_config.json takes from there."""
    name = tokenizer_class(folder, config)
    if name in GENERIC_CLASSES:
        return document
    normalizer, pre_tokenizer = document.get("normalizer"), document.get("pre_tokenizer")
    if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
        given = {theirs: config[ours] for ours, theirs in BERT_SETTINGS.items() if ours in config}
        # null means "as do_lower_case" for the accents, and nothing elsewhere.
        kept = {key: value for key, value in given.items() if value is not None or key == "strip_accents"}
        document["normalizer"] = {**normalizer, **kept}
    prefix = config.get("add_prefix_space")
    if (
        isinstance(pre_tokenizer, dict)
        and pre_tokenizer.get("type") == "ByteLevel"
        and isinstance(prefix, bool)
    ):
        document["pre_tokenizer"] = {**pre_tokenizer, "add_prefix_space": prefix}
    vocab = document["model"].get("vocab")
    if document.get("post_processor") is None and isinstance(vocab, dict):
        names = names_in(config, BERT_NAMES)
        sep, cls = names["sep"], names["cls"]
        if cls in vocab and sep in vocab:
            ends = {"sep": [sep, vocab[sep]], "cls": [cls, vocab[cls]]}
            document["post_processor"] = {"type": "BertProcessing", **ends}
    return document


def _set_lower_case(document: dict[str, Any], lower_case: bool, path: Path) -> None:
    steps = list(steps_of(document.get("normalizer")))
    found = [step for step in steps if step.get("type") == "BertNormalizer"]
    for step in found:
        step["lowercase"] = lower_case
    if not found:
        names = ", ".join(str(step.get("type")) for step in steps) or "none"
        raise UserError(
            f"--do_lower_case sets the BertNormalizer of a tokenizer, but the normalizer of {path} is "
            f"{names}; omit the flag"
        )


def model_tokenizer(files: ModelFiles | InferenceModel) -> TextTokenizer:
    """The tokenizer of a model on disk. Raises UserError where it has none, or one that does not fit it."""
    if files.tokenizer_dir is None:
        raise UserError(f"{files.source.parent} holds no tokenizer files; copy them next to the weights")
    tokenizer = load_tokenizer(files.tokenizer_dir)
    largest = max(tokenizer.vocab.values())
    if largest >= files.config.vocab_size:
        raise UserError(
            f"{files.tokenizer_dir}: the vocabulary has the id {largest}, the model next to it "
            f"{files.config.vocab_size} word embeddings; copy the model's own tokenizer there"
        )
    return tokenizer


def write_tokenizer(tokenizer: TextTokenizer, folder: str | Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and, for WordPiece, vocab.txt as transformers does.

    Truncation and padding are off.
    """
    folder, document = Path(folder), tokenizer.document
    write_json(folder / TOKENIZER_FILE, document)
    write_json(folder / CONFIG_FILE, {**_described(tokenizer), **tokenizer.config})
    if tokenizer.kind == "WordPiece":
        by_id = {index: piece for piece, index in document["model"]["vocab"].items()}
        pieces = [by_id.get(index, f"[unused-{index}]") for index in range(max(by_id) + 1)]
        write_text(folder / VOCAB_FILE, "".join(f"{piece}\n" for piece in pieces))


def _described(tokenizer: TextTokenizer) -> dict[str, Any]:
    """What transformers would otherwise have to guess: the class and the special tokens."""
    ids = {role: getattr(tokenizer, f"{role}_id") for role in ROLES}
    named = {f"{role}_token": tokenizer.token(index) for role, index in ids.items() if index is not None}
    if "lower_case" not in tokenizer.settings:
        return {"tokenizer_class": "PreTrainedTokenizerFast", **named}
    normalizer = tokenizer.document["normalizer"]
    settings = {ours: normalizer.get(theirs) for ours, theirs in BERT_SETTINGS.items()}
    return {"tokenizer_class": "BertTokenizer", **settings, **named}


def set_max_length(folder: str | Path, max_length: int, source: Path | None = None) -> None:
    """Switch padding off in the tokenizer files of a model folder and truncate at `max_length`.

    tokenizer.json and tokenizer_config.json are added where they are missing, and so is the class, which
    transformers would take from the model: that of a student may differ from its teacher's, whose folder is
    `source`. Files of a tokenizer that `load_tokenizer` refuses stay as they are.
    """
    folder = Path(folder)
    try:
        tokenizer = load_tokenizer(source or folder)
    except UserError:
        return
    config = read_optional(folder / CONFIG_FILE)
    if not config.get("tokenizer_class"):
        config = {**config, **_described(tokenizer)}
    if str(config["tokenizer_class"]).startswith("DistilBert") and _is_bert(folder):
        # The same tokens, but transformers passes the segments of pairs only with BERT's class.
        config = {**config, "tokenizer_class": "BertTokenizer"}
        config.pop("model_input_names", None)
    write_json(folder / TOKENIZER_FILE, _truncated(tokenizer, max_length))
    write_json(folder / CONFIG_FILE, {**config, "model_max_length": max_length})


def _is_bert(folder: Path) -> bool:
    return read_optional(folder / "config.json").get("model_type") == "bert"


def _truncated(tokenizer: TextTokenizer, max_length: int) -> dict[str, Any]:
    truncation = {"direction": "Right", "max_length": max_length, "strategy": "LongestFirst", "stride": 0}
    return {**tokenizer.document, "truncation": truncation}
