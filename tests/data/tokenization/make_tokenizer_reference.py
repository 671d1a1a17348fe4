"""Write fixtures/tokenizer_reference.json: what transformers' Python BertTokenizer makes of hard sentences.

Run it where transformers is installed: python tests/data/tokenization/make_tokenizer_reference.py
The vocabulary is small and made here, so that the fixture stands alone; only the algorithm is compared.
"""

import json
import string
import tempfile
import unicodedata
from pathlib import Path

FIXTURE = Path(__file__).with_name("fixtures") / "tokenizer_reference.json"
WORDS = (
    "the film movie plot is was not but and good bad great dull never un ##believ ##able ##ly play "
    "##ing ##ed caf cafe café naïve naive Ünder under ##ground İstanbul istanbul strasse straße "
    "北 京 中 文 ##文 日 本 の ひ ##ら ##が ##な 한 ##국 ##어 😀 👍 2 ##0 ##2 ##6 ... Film "
    "The ß ı ﬁ ﬁlm é è ü Á"
).split()
VOCAB = list(
    dict.fromkeys(
        [
            "[PAD]",
            "[UNK]",
            "[CLS]",
            "[SEP]",
            "[MASK]",
            *string.ascii_letters,
            *string.punctuation,
            *(f"##{letter}" for letter in string.ascii_letters),
            *WORDS,
        ]
    )
)
SENTENCES = [
    "The film is unbelievably good.",
    "THE FILM WAS NOT DULL!",
    "café naïve Ünderground",
    "cafe\u0301 nai\u0308ve",
    "İstanbul STRASSE straße",
    "我爱北京 and 中文电影",
    "日本のひらがな ﬁlm",
    "한국어 한국",
    "good 😀👍 bad 👩\u200d👩\u200d👧",
    "2026-11-21, 3.14%",
    "tab\tnew\nline\rand\x0bmore",
    "zero\u200bwidth\u00adhyphen\ufeff",
    "nul\x00l \ufffd control\x07",
    "  spaces   ",
    "non\u00a0breaking \u3000ideographic",
    "[MASK] in [SEP] the film [unused1]",
    "don't ``quote'' `that'",
    "a" * 100,
    "a" * 101,
    "x" * 300 + " good",
    "$100 €100 ^~|<>",
    "…—“dull”",
    "",
    "\u0301",
    "ÀÉÎÕÜ àéîõü",
    "𝒻𝒾𝓁𝓂 ｆｉｌｍ",
    "ﷺ \u2028 line",
    "@user #film http://a.b/c?d=e_f",
    "unplayed playing undergroundunderground",
    "北京good文",
]
SETTINGS = [
    {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True},
    {"do_lower_case": False, "strip_accents": None, "tokenize_chinese_chars": True},
    {"do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False},
    {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
]


def reference_tokenizer(vocab_file, settings):
    """The slow, pure Python tokenizer: an implementation apart from the `tokenizers` library."""
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    return BertTokenizerLegacy(vocab_file, **settings)


def reference_ids(tokenizer, text):
    """Ids of a text without [CLS] and [SEP].

    None where this reference leaves Google's way: it composes characters (NFC) first, which neither
    Google's tokenizer nor the one that transformers uses today does; it shows only where accents are kept.
    """
    basic = tokenizer.basic_tokenizer
    keeps_accents = not (basic.do_lower_case if basic.strip_accents is None else basic.strip_accents)
    if keeps_accents and unicodedata.normalize("NFC", text) != text:
        return None
    return tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))


def main():
    """Compute the ids under each of SETTINGS and write them beside the vocabulary and the sentences."""
    with tempfile.TemporaryDirectory() as folder:
        vocab_file = Path(folder) / "vocab.txt"
        vocab_file.write_text("".join(f"{piece}\n" for piece in VOCAB), encoding="utf-8")
        cases = []
        for settings in SETTINGS:
            tokenizer = reference_tokenizer(str(vocab_file), settings)
            ids = [reference_ids(tokenizer, text) for text in SENTENCES]
            cases.append({"settings": settings, "ids": ids})
    FIXTURE.parent.mkdir(exist_ok=True)
    stored = {"vocab": VOCAB, "sentences": SENTENCES, "cases": cases}
    FIXTURE.write_text(json.dumps(stored) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
