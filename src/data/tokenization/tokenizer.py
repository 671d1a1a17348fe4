"""WordPiece as BERT does it, by the `tokenizers` library, with the settings found beside the vocabulary."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from ...errors import UserError
from ...files import atomic_path, read_json, write_json, write_text

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCAB_FILE, TOKENIZER_FILE, CONFIG_FILE = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
WRITTEN = (VOCAB_FILE, TOKENIZER_FILE, CONFIG_FILE)


@dataclasses.dataclass(frozen=True)
class Normalization:
    """How a text is cleaned before it is split. `strip_accents` None: as `lower_case` says (BERT's rule)."""

    lower_case: bool
    strip_accents: bool | None = None
    chinese: bool = True


class BertTokenizer:
    """WordPiece over a vocabulary {piece: id}; gives the same ids as the BertTokenizer of transformers."""

    def __init__(self, vocab, normalization, added_tokens=()):
        self.vocab, self.normalization = vocab, normalization
        self.unk_id, self.cls_id, self.sep_id = (vocab[t] for t in ("[UNK]", "[CLS]", "[SEP]"))
        self._backend = _build(vocab, normalization, added_tokens)

    @property
    def settings(self):
        """All that decides the ids (vocabulary hash and size, casing, accents, Chinese) and a hash of it."""
        by_id = sorted(self.vocab.items(), key=lambda entry: entry[1])
        pieces = "\n".join(f"{piece}\t{index}" for piece, index in by_id)
        settings = {
            "vocab_sha256": hashlib.sha256(pieces.encode()).hexdigest(),
            "vocab_size": by_id[-1][1] + 1,
            **dataclasses.asdict(self.normalization),
        }
        if settings["strip_accents"] is None:
            settings["strip_accents"] = settings["lower_case"]
        return {**settings, "hash": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()}

    def encode(self, texts):
        """Ids of each text of a list, without [CLS] and [SEP]."""
        return [encoding.ids for encoding in self._backend.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_with_spans(self, texts):
        """(ids, [(start, end)] of each piece in the text) for each text, without [CLS] and [SEP]."""
        encodings = self._backend.encode_batch(texts, add_special_tokens=False)
        return [(encoding.ids, encoding.offsets) for encoding in encodings]

    def encode_pairs(self, pairs, max_seq_length):
        """Ids of (text_a, text_b or None) as BERT takes them: [CLS] a [SEP] or [CLS] a [SEP] b [SEP].

        Returns three lists, one entry a pair: ids, segments, and whether the pair had to be shortened.
        """
        first = self.encode([a for a, _ in pairs])
        second = iter(self.encode([b for _, b in pairs if b is not None]))
        rows = [
            self._join(a, None if text_b is None else next(second), max_seq_length)
            for a, (_, text_b) in zip(first, pairs, strict=True)
        ]
        return tuple(map(list, zip(*rows, strict=True))) if rows else ([], [], [])

    def _join(self, a, b, max_seq_length):
        if b is None:
            kept = a[: max_seq_length - 2]
            return [self.cls_id, *kept, self.sep_id], [0] * (len(kept) + 2), len(kept) < len(a)
        keep_a, keep_b = longest_first(len(a), len(b), max_seq_length - 3)
        ids = [self.cls_id, *a[:keep_a], self.sep_id, *b[:keep_b], self.sep_id]
        return ids, [0] * (keep_a + 2) + [1] * (keep_b + 1), keep_a + keep_b < len(a) + len(b)

    def save(self, directory):
        """Write tokenizer.json, tokenizer_config.json and vocab.txt, which transformers opens as they are."""
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


def longest_first(length_a, length_b, budget):
    """Lengths kept of two texts when the longer (the second, if equal) loses its last token, as in BERT."""
    if length_a + length_b <= budget:
        return length_a, length_b
    if length_a <= budget // 2:
        return length_a, budget - length_a
    if length_b <= budget // 2:
        return budget - length_b, length_b
    return budget - budget // 2, budget // 2


def load_tokenizer(vocab_file, do_lower_case=None):
    """The tokenizer of a vocab.txt, a tokenizer.json or a folder that holds one of them.

    Casing, accents and Chinese handling come from tokenizer_config.json or tokenizer.json beside it; without
    them a vocabulary with upper-case pieces is cased. `do_lower_case` overrides.
    Raises UserError when the file is missing or is no BERT vocabulary.
    """
    path = _vocabulary_file(Path(vocab_file))
    described = _tokenizer_json(path)
    vocab = described["model"]["vocab"] if path.suffix == ".json" else _read_vocab(path)
    missing = [token for token in SPECIAL_TOKENS[1:4] if token not in vocab]
    if missing:
        raise UserError(f"{path} is not a BERT vocabulary: it lacks {', '.join(missing)}")
    return BertTokenizer(
        vocab,
        _normalization(path, described, vocab, do_lower_case),
        [
            token["content"]
            for token in described.get("added_tokens", ())
            if token["content"] in vocab and token["content"] not in SPECIAL_TOKENS
        ],
    )


def _vocabulary_file(path):
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


def _tokenizer_json(path):
    """The parsed tokenizer.json that is, or lies beside, the vocabulary; {} when there is none."""
    beside = path if path.suffix == ".json" else path.with_name(TOKENIZER_FILE)
    described = _json_table(beside)
    if path == beside and (described.get("model") or {}).get("type") != "WordPiece":
        raise UserError(f"{path} does not describe a WordPiece tokenizer; BERT needs one")
    return described


def _json_table(path):
    """The object that a JSON file holds, {} where there is no file."""
    table = read_json(path) if path.is_file() else {}
    if not isinstance(table, dict):
        raise UserError(f"{path}: a table of keys belongs there; download or copy it again")
    return table


def _read_vocab(path):
    try:
        pieces = path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a vocabulary: byte {error.start + 1} is not UTF-8") from None
    if not pieces[-1]:
        pieces.pop()
    return {piece.removesuffix("\r"): index for index, piece in enumerate(pieces)}


def _normalization(path, described, vocab, do_lower_case):
    config_path = path.with_name(CONFIG_FILE)
    config = _json_table(config_path)
    normalizer = described.get("normalizer") or {}
    cased = any(re.search("[A-Z]", piece) and not re.fullmatch(r"\[.*\]", piece) for piece in vocab)

    def setting(config_key, normalizer_key, default):
        value = config.get(config_key, normalizer.get(normalizer_key))
        if value is not None and type(value) is not bool:
            raise UserError(f"{config_path}: {config_key} {value!r} has to be true or false")
        return default if value is None else value

    lower_case = setting("do_lower_case", "lowercase", not cased)
    return Normalization(
        lower_case if do_lower_case is None else do_lower_case,
        setting("strip_accents", "strip_accents", None),
        setting("tokenize_chinese_chars", "handle_chinese_chars", True),
    )


def _build(vocab, normalization, added_tokens):
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=normalization.chinese,
        strip_accents=normalization.strip_accents,
        lowercase=normalization.lower_case,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # Only used by who opens the saved tokenizer.json: here the rows are joined in BertTokenizer.encode_pairs.
    backend.post_processor = processors.BertProcessing(("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"]))
    backend.add_special_tokens([*(t for t in SPECIAL_TOKENS if t in vocab), *added_tokens])
    return backend
