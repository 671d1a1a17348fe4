"""Small tokenizers of many kinds, trained on text made here, in folders as other programs write them.

KINDS: name -> function(folder) that writes tokenizer files and config.json to an empty folder.
"""

import functools
import json
import random

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from src.data.samples.sentiment import sample_rows

BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
CAMEMBERT = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>"]
GENERIC = "PreTrainedTokenizerFast"
# Latin, accents, Greek, Cyrillic, Hebrew, Arabic, Indic, marks, kana, Chinese, Korean, wide, emoji, controls.
RANGES = [
    (0x20, 0x7F),
    (0xA0, 0x250),
    (0x300, 0x370),
    (0x370, 0x530),
    (0x590, 0x700),
    (0x900, 0xD00),
    (0x2000, 0x2070),
    (0x3040, 0x3100),
    (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A4),
    (0xFF00, 0xFFF0),
    (0x1F300, 0x1FAFF),
    (0x20000, 0x2A6E0),
    (0x0, 0x20),
]
ODD = [
    "",
    " ",
    "\t\n\r\x0b",
    "\x00 nul \ufffd",
    "👩\u200d👩\u200d👧 ok",
    "I \u2764\ufe0f it",
    "שלום עולם",
    "مرحبا بالعالم",
    "\u202ertl\u202c",
    "我爱北京 and 中文电影",
    "日本のひらがな ﬁlm",
    "한국어 한국",
    "COVID-19 covid-19 Covid-19s",
    "<user> <USER>film<User>",
    "a <mask> film <MASK>",
    "[MASK] in [SEP] the film [mask] [unused1]",
    "</s><s>",
    "x" * 300,
    "don't ``quote'' `that' 3.14% 1,000",
    "İstanbul STRASSE straße ǅ",
    "cafe\u0301 nai\u0308ve café",
    "zero\u200bwidth\u00adhyphen\ufeff",
    "non\u00a0breaking \u3000ideographic \u2028 line",
    "▁under▁score ▁",
    "Ġbyte Ġ",
]


def plain_sentences(count):
    """Sentences of the sample task."""
    return [text for text, _ in sample_rows(5, count)]


def odd_sentences(count):
    """ODD, and sentences strewn with words of random characters of many scripts."""
    draw, found = random.Random(11), list(ODD)
    for sentence in plain_sentences(count - len(found)):
        words = sentence.split()
        for _ in range(4):
            low, high = draw.choice(RANGES)
            word = "".join(chr(draw.randrange(low, high)) for _ in range(draw.randrange(1, 7)))
            words.insert(draw.randrange(len(words) + 1), draw.choice((word, word.upper(), draw.choice(ODD))))
        found.append(draw.choice(("", " ")).join(words[:4]) + " " + " ".join(words[4:]))
    return found


def _trained(tokenizer, trainer):
    tokenizer.train_from_iterator([*plain_sentences(400), *odd_sentences(200), *ODD], trainer)
    return tokenizer


@functools.cache
def word_piece_vocab(cased=False):
    """{piece: id} of a WordPiece vocabulary of 1,200 pieces."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not cased)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    _trained(tokenizer, trainers.WordPieceTrainer(vocab_size=1200, special_tokens=BERT, show_progress=False))
    return tokenizer.get_vocab()


def bert(cased=False, prefix="##", ends=("[CLS]", "[SEP]"), vocab=None, longest=100):
    """A Tokenizer as BERT's, with other parts where given."""
    vocab = {
        (prefix + piece[2:] if piece.startswith("##") else piece): index
        for piece, index in (vocab or word_piece_vocab(cased)).items()
    }
    cls, sep = ((name, vocab[name]) for name in ends)
    tokenizer = Tokenizer(
        models.WordPiece(
            vocab,
            unk_token="[UNK]",
            continuing_subword_prefix=prefix,
            max_input_chars_per_word=longest,
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not cased)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=prefix)
    tokenizer.post_processor = processors.BertProcessing(sep, cls)
    tokenizer.add_special_tokens([token for token in BERT if token in vocab])
    return tokenizer


def write(folder, tokenizer, name=GENERIC, model="bert", specials=None, **config):
    """Write tokenizer.json, tokenizer_config.json and config.json."""
    tokenizer.enable_padding(length=24, pad_id=0)
    tokenizer.enable_truncation(20)
    tokenizer.save(str(folder / "tokenizer.json"))
    specials = specials or {f"{token[1:-1].lower()}_token": token for token in BERT}
    write_config(folder, name, model, **specials, **config)


def write_config(folder, name, model="bert", **config):
    """Write tokenizer_config.json and config.json."""
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name, **config}))
    (folder / "config.json").write_text(json.dumps({"model_type": model}))


def write_vocab(folder, vocab):
    """Write vocab.txt."""
    pieces = sorted(vocab, key=vocab.__getitem__)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")


def changed(**parts):
    """A kind with other parts of the pipeline; each a value or a function of the value that BERT has."""

    def build(folder):
        tokenizer = bert()
        for part, value in parts.items():
            setattr(tokenizer, part, value(getattr(tokenizer, part)) if callable(value) else value)
        write(folder, tokenizer)

    return build


def vocab_only(cased=False, **config):
    """A kind of vocab.txt and tokenizer_config.json alone."""

    def build(folder):
        write_vocab(folder, word_piece_vocab(cased))
        write_config(folder, "BertTokenizer", do_lower_case=not cased, **config)

    return build


def added_in_json(folder):
    tokenizer = bert()
    tokenizer.add_tokens(["COVID-19", AddedToken("film", single_word=True), AddedToken("plot", rstrip=True)])
    tokenizer.add_special_tokens([AddedToken("<user>", lstrip=True)])
    write(folder, tokenizer, "BertTokenizer")


def added_file(folder):
    vocab_only(additional_special_tokens=["<user>"])(folder)
    size = len(word_piece_vocab())
    (folder / "added_tokens.json").write_text(json.dumps({"COVID-19": size, "<user>": size + 1}))


def added_decoder(folder):
    size = len(word_piece_vocab())
    flags = {"lstrip": False, "rstrip": False, "single_word": False}
    decoder = {
        size: {"content": "COVID-19", "normalized": True, "special": False, **flags},
        size + 1: {"content": "<user>", "normalized": False, "special": True, **flags, "lstrip": True},
    }
    vocab_only(added_tokens_decoder=decoder)(folder)


def other_ends(folder):
    vocab = {{"[CLS]": "<bos>", "[SEP]": "<eos>"}.get(k, k): v for k, v in word_piece_vocab().items()}
    tokenizer = bert(vocab=vocab, ends=("<bos>", "<eos>"))
    tokenizer.add_special_tokens(["<bos>", "<eos>"])
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "<bos>", "sep_token": "<eos>"}
    names["mask_token"] = "[MASK]"
    write(folder, tokenizer, specials=names)


@functools.cache
def _byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        special_tokens=ROBERTA,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _trained(tokenizer, trainer).to_str()


def byte_level(prefix=False):
    """A Tokenizer as RoBERTa's."""
    tokenizer = Tokenizer.from_str(_byte_level())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=prefix)
    tokenizer.add_special_tokens(ROBERTA[:4] + [AddedToken("<mask>", lstrip=True)])
    return tokenizer


ROBERTA_NAMES = {
    "cls_token": "<s>",
    "sep_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "bos_token": "<s>",
    "eos_token": "</s>",
}
MASK = {
    "__type": "AddedToken",
    "content": "<mask>",
    "lstrip": True,
    "rstrip": False,
    "normalized": False,
    "single_word": False,
    "special": True,
}


def roberta(prefix=False):
    """A kind of byte-level BPE."""

    def build(folder):
        write(
            folder,
            byte_level(prefix),
            "RobertaTokenizer",
            "roberta",
            {**ROBERTA_NAMES, "mask_token": MASK},
            add_prefix_space=prefix,
        )

    return build


def herbert(folder):
    """BPE with a suffix at the end of words, as HerBERT's and the first GPT's."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=1200, special_tokens=ROBERTA, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator([*plain_sentences(400), *ODD], trainer)
    tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    write(folder, tokenizer, specials=ROBERTA_NAMES)


def roberta_files(folder):
    byte_level().model.save(str(folder))
    write_config(folder, "RobertaTokenizer", "roberta")


def unigram(specials=tuple(ROBERTA), normalizer=None):
    """A Tokenizer as XLM-R's and CamemBERT's, with `specials` at the beginning of the vocabulary."""
    tokenizer = Tokenizer(models.Unigram())
    split, space = pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, space])
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.UnigramTrainer(
        vocab_size=1200, special_tokens=list(specials), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([*plain_sentences(400), *ODD], trainer)
    # `tokenizers` reads some scores of 17 digits as a neighbor, which decides between equal segmentations.
    document = json.loads(tokenizer.to_str())
    document["model"]["vocab"] = [(token, round(score, 6)) for token, score in document["model"]["vocab"]]
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")],
    )
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    return tokenizer


def unigram_kind(name, model, specials=tuple(ROBERTA), normalizer=None):
    """A kind of Unigram."""
    return lambda folder: write(
        folder, unigram(specials, normalizer), name, model, {**ROBERTA_NAMES, "mask_token": MASK}
    )


KINDS = {
    "BERT uncased": lambda folder: write(folder, bert(), "BertTokenizer", do_lower_case=True),
    "BERT cased": lambda folder: write(folder, bert(cased=True), "BertTokenizer", do_lower_case=False),
    "BERT vocab.txt": vocab_only(),
    "BERT cased vocab.txt": vocab_only(cased=True),
    "accents kept, no Chinese split": vocab_only(strip_accents=False, tokenize_chinese_chars=False),
    "added tokens, tokenizer.json": added_in_json,
    "added tokens, added_tokens.json": added_file,
    "added tokens, added_tokens_decoder": added_decoder,
    "Sequence normalizer": changed(
        normalizer=lambda own: normalizers.Sequence([normalizers.NFKC(), own, normalizers.StripAccents()])
    ),
    "Lowercase normalizer": changed(normalizer=normalizers.Lowercase()),
    "Replace normalizer": changed(
        normalizer=lambda own: normalizers.Sequence([normalizers.Replace("'", " "), own])
    ),
    "no normalizer": changed(normalizer=None),
    "Whitespace pre-tokenizer": changed(pre_tokenizer=pre_tokenizers.Whitespace()),
    "Digits pre-tokenizer": changed(
        pre_tokenizer=lambda own: pre_tokenizers.Sequence([own, pre_tokenizers.Digits(True)])
    ),
    "prefix @@": lambda folder: write(folder, bert(prefix="@@")),
    "words of 5 characters": lambda folder: write(folder, bert(longest=5)),
    "<bos> and <eos>": other_ends,
    "RoBERTa": roberta(),
    "RoBERTa, prefix space": roberta(prefix=True),
    "RoBERTa, vocab.json and merges.txt": roberta_files,
    "BPE with </w>": herbert,
    "XLM-R": unigram_kind("XLMRobertaTokenizer", "xlm-roberta", ["<s>", "<pad>", "</s>", "<unk>"]),
    "XLM-R, NFKC": unigram_kind(GENERIC, "xlm-roberta", normalizer=normalizers.NFKC()),
    "CamemBERT": unigram_kind("CamembertTokenizer", "camembert", CAMEMBERT),
}
