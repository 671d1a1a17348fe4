"""A line of a corpus -> its sentences, English or Chinese; together they hold the line's tokens, all of them.

A wrong boundary does no harm: it only says where the parts A and B of a row may meet.
"""

import re

# WikiText writes 1 @,@ 000, 5 @.@ 5 and one @-@ third.
JOINED = re.compile(r" ?@([-,.])@ ?")
UNKNOWN, UNKNOWN_TOKEN = "<unk>", "[UNK]"
# Quotes that close, a space, and what a sentence begins with; initials and titles end nothing.
AFTER_ENGLISH = (
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)"
    r"[.!?]*[\"'”’)\]]*\s+(?=[\"'“‘(\[]*\s?[^\W_a-z])"
)
# Chinese needs no space. A cut after such a mark divides no token: WordPiece sets each of them apart.
AFTER_CHINESE = r"(?<=[。！？；…])[。！？；…]*[”’」』）》]*\s*"
# The mark comes first, so that the search runs from mark to mark and not through every letter.
END = re.compile(f"[.!?。！？；…](?:{AFTER_ENGLISH}|{AFTER_CHINESE})")


def clean(text):
    """The line as it was before WikiText's marks: numbers joined, <unk> as the vocabulary's [UNK]."""
    if "@" in text:
        text = JOINED.sub(r"\1", text)
    return text.replace(UNKNOWN, UNKNOWN_TOKEN).strip()


def split_sentences(text):
    """The sentences of a cleaned line, in order."""
    sentences, start = [], 0
    for end in END.finditer(text):
        sentences.append(text[start : end.end()])
        start = end.end()
    if start < len(text):
        sentences.append(text[start:])
    return sentences
