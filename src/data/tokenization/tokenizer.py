"""BERT's WordPiece tokenizer, built on the `tokenizers` library from a vocabulary and its settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from ...errors import UserError
from ...files import atomic_path, write_json, write_text
from ...json_reader import read_json

if TYPE_CHECKING:
    from ...stages.model.inference import InferenceModel
    from ...stages.model.load import ModelFiles

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCAB_FILE, TOKENIZER_FILE, CONFIG_FILE = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
WRITTEN = (VOCAB_FILE, TOKENIZER_FILE, CONFIG_FILE)


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Text normalization before splitting. `strip_accents` None: same as `lower_case` (BERT's rule)."""

    lower_case: bool
    strip_accents: bool | None = None
    chinese: bool = True


class BertTokenizer:
    """WordPiece over a vocabulary {piece: id}; same ids as the BertTokenizer of transformers."""

    def __init__(
        self, vocab: dict[str, int], normalization: Normalization, added_tokens: Iterable[str] = ()
    ) -> None:
        self.vocab, self.normalization = vocab, normalization
        self.unk_id, self.cls_id, self.sep_id = (vocab[t] for t in ("[UNK]", "[CLS]", "[SEP]"))
        self._backend = _build(vocab, normalization, added_tokens)

    @property
    def settings(self) -> dict[str, str | int | bool]:
        """What determines the ids (vocabulary hash and size, casing, accents, Chinese), and its hash."""
        by_id = sorted(self.vocab.items(), key=lambda entry: entry[1])
        pieces = "\n".join(f"{piece}\t{index}" for piece, index in by_id)
        settings: dict[str, str | int | bool] = {
            "vocab_sha256": hashlib.sha256(pieces.encode()).hexdigest(),
            "vocab_size": by_id[-1][1] + 1,
            **dataclasses.asdict(self.normalization),
        }
        if settings["strip_accents"] is None:
            settings["strip_accents"] = settings["lower_case"]
        return {**settings, "hash": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()}

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without [CLS] and [SEP]."""
        return [encoding.ids for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_with_spans(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """(ids, [(start, end)] offsets of each piece) of each text, without [CLS] and [SEP]."""
        encodings = self._backend.encode_batch(texts, add_special_tokens=False)
        return [(encoding.ids, encoding.offsets) for encoding in encodings]

    def encode_pairs(
        self, pairs: Sequence[tuple[str, str | None]], max_seq_length: int
    ) -> tuple[list[list[int]], list[list[int]], list[bool]]:
        """Encode (text_a, text_b or None) as [CLS] a [SEP] or [CLS] a [SEP] b [SEP].

        Returns ids, segment ids and whether the pair was truncated, one entry per pair.
        """
        first = self.encode([a for a, _ in pairs])
        second = iter(self.encode([b for _, b in pairs if b is not None]))
        rows = [
            self._join(a, None if text_b is None else next(second), max_seq_length)
            for a, (_, text_b) in zip(first, pairs, strict=True)
        ]
        return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]

    def _join(
        self, a: list[int], b: list[int] | None, max_seq_length: int
    ) -> tuple[list[int], list[int], bool]:
        if b is None:
            kept = a[: max_seq_length - 2]
            return [self.cls_id, *kept, self.sep_id], [0] * (len(kept) + 2), len(kept) < len(a)
        keep_a, keep_b = longest_first(len(a), len(b), max_seq_length - 3)
        ids = [self.cls_id, *a[:keep_a], self.sep_id, *b[:keep_b], self.sep_id]
        return ids, [0] * (keep_a + 2) + [1] * (keep_b + 1), keep_a + keep_b < len(a) + len(b)

    def save(self, directory: str | Path) -> None:
        """Write tokenizer.json, tokenizer_config.json and vocab.txt in the layout of transformers."""
        directory = Path(directory)
        with atomic_path(directory / TOKENIZER_FILE) as path:
            self._backend.save(str(path))
        by_id = {index: piece for piece, index in self.vocab.items()}
        pieces = [by_id.get(index, f"[unused-{index}]") for index in range(max(by_id) + 1)]
        write_text(directory / VOCAB_FILE, "".join(f"{piece}\n" for piece in pieces))
        write_json(
            directory / CONFIG_FILE,
            {
                "tokenizer_class": "BertTokenizer",
                "do_lower_case": self.normalization.lower_case,
                "strip_accents": self.normalization.strip_accents,
                "tokenize_chinese_chars": self.normalization.chinese,
                "model_max_length": 512,
                **{f"{token[1:-1].lower()}_token": token for token in SPECIAL_TOKENS},
            },
        )


def longest_first(length_a: int, length_b: int, budget: int) -> tuple[int, int]:
    """Lengths after BERT's truncation of a pair: the longer (the second, if equal) loses its last token."""
    if length_a + length_b <= budget:
        return length_a, length_b
    if length_a <= budget // 2:
        return length_a, budget - length_a
    if length_b <= budget // 2:
        return budget - length_b, length_b
    return budget - budget // 2, budget // 2


def load_tokenizer(vocab_file: str | Path, do_lower_case: bool | None = None) -> BertTokenizer:
    """Load a tokenizer from a vocab.txt, a tokenizer.json or a folder with one of them.

    Casing, accents and Chinese handling come from tokenizer_config.json or tokenizer.json in the same folder;
    without them a vocabulary with upper-case pieces is cased. `do_lower_case` overrides.
    Raises UserError when the file is missing or not a BERT vocabulary.
    """
    path = _vocabulary_file(Path(vocab_file))
    serialized = _tokenizer_json(path)
    vocab = serialized["model"]["vocab"] if path.suffix == ".json" else _read_vocab(path)
    missing = [token for token in SPECIAL_TOKENS[1:4] if token not in vocab]
    if missing:
        raise UserError(f"{path} is not a BERT vocabulary: it lacks {', '.join(missing)}")
    return BertTokenizer(
        vocab,
        _normalization(path, serialized, vocab, do_lower_case),
        [
            token["content"]
            for token in serialized.get("added_tokens", ())
            if token["content"] in vocab and token["content"] not in SPECIAL_TOKENS
        ],
    )


def _vocabulary_file(path: Path) -> Path:
    if path.is_dir():
        for name in (TOKENIZER_FILE, VOCAB_FILE):
            if (path / name).is_file():
                return path / name
        raise UserError(f"{path} holds neither {VOCAB_FILE} nor {TOKENIZER_FILE}")
    if not path.is_file():
        raise UserError(
            f"vocab_file {path} does not exist; give a vocab.txt, a tokenizer.json or a model folder"
        )
    return path


def _tokenizer_json(path: Path) -> dict:
    """Contents of the vocabulary's tokenizer.json, {} without one."""
    file = path if path.suffix == ".json" else path.with_name(TOKENIZER_FILE)
    serialized = _json_object(file)
    if path == file and (serialized.get("model") or {}).get("type") != "WordPiece":
        raise UserError(f"{path} does not describe a WordPiece tokenizer; BERT needs one")
    return serialized


def _json_object(path: Path) -> dict:
    """Contents of a JSON file, {} without the file."""
    values = read_json(path) if path.is_file() else {}
    if not isinstance(values, dict):
        raise UserError(f"{path} is not a JSON object; download or copy it again")
    return values


def _read_vocab(path: Path) -> dict[str, int]:
    try:
        pieces = path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a vocabulary: byte {error.start + 1} is not UTF-8") from None
    if not pieces[-1]:
        pieces.pop()
    return {piece.removesuffix("\r"): index for index, piece in enumerate(pieces)}


def _normalization(
    path: Path, serialized: dict, vocab: Iterable[str], do_lower_case: bool | None
) -> Normalization:
    config_path = path.with_name(CONFIG_FILE)
    config = _json_object(config_path)
    normalizer = serialized.get("normalizer") or {}
    cased = any(re.search("[A-Z]", piece) and not re.fullmatch(r"\[.*\]", piece) for piece in vocab)

    def setting(config_key: str, normalizer_key: str, default: bool | None) -> bool | None:
        value = config.get(config_key, normalizer.get(normalizer_key))
        if value is not None and type(value) is not bool:
            raise UserError(f"{config_path}: {config_key} {value!r} is not true or false")
        return default if value is None else value

    lower_case = bool(setting("do_lower_case", "lowercase", not cased))
    return Normalization(
        lower_case if do_lower_case is None else do_lower_case,
        setting("strip_accents", "strip_accents", None),
        bool(setting("tokenize_chinese_chars", "handle_chinese_chars", True)),
    )


def _build(vocab: dict[str, int], normalization: Normalization, added_tokens: Iterable[str]) -> Tokenizer:
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=normalization.chinese,
        strip_accents=normalization.strip_accents,
        lowercase=normalization.lower_case,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # For readers of the saved tokenizer.json; this class joins the texts itself in encode_pairs.
    backend.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    backend.add_special_tokens([*(t for t in SPECIAL_TOKENS if t in vocab), *added_tokens])
    return backend


def model_tokenizer(files: ModelFiles | InferenceModel) -> BertTokenizer:
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
