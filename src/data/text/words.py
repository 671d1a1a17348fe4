"""The words of a sentence as a tagger takes them, with their places in it."""

import re
from typing import NamedTuple

# BERT's tokenizer takes each of these characters (CJK ideographs) for a word of its own.
IDEOGRAPH = (
    "\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f"
)
BLANKS = re.compile(r"\S+")
BLANKS_AND_IDEOGRAPHS = re.compile(rf"[{IDEOGRAPH}]|[^\s{IDEOGRAPH}]+")
ENDS, BEGINS = re.compile(rf"[{IDEOGRAPH}]$"), re.compile(rf"^[{IDEOGRAPH}]")


class Words(NamedTuple):
    """A sentence: its text, its words, and the (start, end) of each in the text."""

    text: str
    words: tuple
    spans: tuple


def split_words(text, ideographs=True):
    """The Words of a line: what stands between blanks, and with `ideographs` each of these by itself."""
    found = list((BLANKS_AND_IDEOGRAPHS if ideographs else BLANKS).finditer(text))
    return Words(text, tuple(match[0] for match in found), tuple(match.span() for match in found))


def joined_words(words):
    """The Words of a sentence given word by word: a blank between two, but none between ideographs."""
    text, spans = "", []
    for word in words:
        if text and not (ENDS.search(text) and BEGINS.search(word)):
            text += " "
        spans.append((len(text), len(text) + len(word)))
        text += word
    return Words(text, tuple(words), tuple(spans))
