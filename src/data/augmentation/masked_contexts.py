"""Inputs of a masked language model: a sentence with one word masked."""

import dataclasses
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from .words import Word


class Context(NamedTuple):
    """A row with one masked piece: `ids`, length of the first segment, position of [MASK]."""

    ids: tuple[int, ...]
    first: int
    position: int


@dataclasses.dataclass(frozen=True)
class ContextForm:
    """Layout of contexts: the ids of the special tokens, maximum length and segments.

    `pair` False: the sentence with [MASK] in it (Algorithm 1 of the paper). True: followed by the original
    sentence as a second segment, as in TinyBERT's published code, so that the model sees the word.
    """

    cls_id: int
    sep_id: int
    mask_id: int
    max_seq_length: int
    pair: bool = False

    @property
    def capacity(self) -> int:
        """Number of pieces of a sentence that fit."""
        return (self.max_seq_length - 3) // 2 if self.pair else self.max_seq_length - 2

    def masked(self, ids: Sequence[int], index: int) -> Context:
        """Context with piece `index` of a sentence's `ids` (without [CLS] and [SEP]) masked.

        A sentence that is too long is reduced to a window around the piece.
        """
        begin = max(0, min(index - self.capacity // 2, len(ids) - self.capacity))
        window = ids[begin : begin + self.capacity]
        row = [self.cls_id, *window, self.sep_id]
        position = index - begin + 1
        row[position] = self.mask_id
        second = [*window, self.sep_id] if self.pair else []
        return Context((*row, *second), len(row), position)


def pieces_of_words(words: Sequence[Word], spans: Sequence[tuple[int, int]]) -> list[range]:
    """Index range of the pieces of each word.

    words  words of a text, in order
    spans  (start, end) of all pieces of the text, in order
    """
    starts = [start for start, _ in spans]
    return [range(bisect_left(starts, word.start), bisect_left(starts, word.end)) for word in words]
