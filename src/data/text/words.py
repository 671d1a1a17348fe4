"""Word splitting for token classification, with the offsets of each word in the text."""

import re
from collections.abc import Iterable
from typing import NamedTuple

# CJK ideographs: BERT's tokenizer treats each as a word of its own.
IDEOGRAPH = (
    "\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f"
)
# With CJK punctuation and full-width symbols, which no blank separates from a word either.
SINGLE = IDEOGRAPH + "\u3001-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
WORD = re.compile(rf"[{SINGLE}]|[^\s{SINGLE}]+")
ENDS, BEGINS = re.compile(rf"[{SINGLE}]$"), re.compile(rf"^[{SINGLE}]")


class Words(NamedTuple):
    """A sentence: its text, its words, and the (start, end) offsets of each word in the text."""

    text: str
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]


def split_words(text: str) -> Words:
    """Split a line at whitespace and around each ideograph and CJK punctuation mark."""
    matches = list(WORD.finditer(text))
    return Words(text, tuple(match[0] for match in matches), tuple(match.span() for match in matches))


def joined_words(words: Iterable[str]) -> Words:
    """Join words into a sentence, with a space between two unless both are ideographs or CJK punctuation."""
    text, kept, spans = "", tuple(words), []
    for word in kept:
        if text and not (ENDS.search(text) and BEGINS.search(word)):
            text += " "
        spans.append((len(text), len(text) + len(word)))
        text += word
    return Words(text, kept, tuple(spans))
