"""Sentence splitting for English and Chinese text; the sentences contain all tokens of the line.

A sentence begins with the space before it, so that tokens that mark the beginning of a word (Ġ, ▁) stay
whole. A wrong boundary is harmless: boundaries only determine where segments A and B of a row may meet.
"""

import re

# WikiText writes 1 @,@ 000, 5 @.@ 5 and one @-@ third.
JOINED = re.compile(r" ?@([-,.])@ ?")
UNKNOWN = "<unk>"
# Closing quotes, a space, and the beginning of a sentence; initials and titles do not end a sentence.
AFTER_ENGLISH = (
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\bSt\.)"
    r"[.!?]*[\"'”’)\]]*\s+(?=[\"'“‘(\[]*\s?[^\W_a-z])"
)
# Chinese needs no space. Splitting after these marks breaks no token: WordPiece isolates each of them.
AFTER_CHINESE = r"(?<=[。！？；…])[。！？；…]*[”’」』）》]*\s*"
# The mark comes first, so that the search skips from mark to mark.
END = re.compile(f"[.!?。！？；…](?:{AFTER_ENGLISH}|{AFTER_CHINESE})")


def clean(text: str, unknown_token: str = "[UNK]") -> str:
    """Undo WikiText's markup: join numbers, replace <unk> with the `unknown_token` of the vocabulary."""
    if "@" in text:
        text = JOINED.sub(r"\1", text)
    return text.replace(UNKNOWN, unknown_token).strip()


def split_sentences(text: str) -> list[str]:
    """Sentences of a cleaned line, in order."""
    sentences, start = [], 0
    for end in END.finditer(text):
        sentences.append(text[start : end.end()].rstrip())
        start += len(sentences[-1])
    if start < len(text):
        sentences.append(text[start:])
    return sentences
