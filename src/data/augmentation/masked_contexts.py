"""Inputs of a masked language model: a sentence with one word masked."""

import dataclasses
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from ..tokenization.template import Template
from .words import Word


class Context(NamedTuple):
    """A row with one masked token: `ids`, number of tokens with segment id 0, position of the mask."""

    ids: tuple[int, ...]
    first: int
    position: int


@dataclasses.dataclass(frozen=True)
class ContextForm:
    """Layout of contexts: the Template of the special tokens, the id of the mask and the maximum length.

    A template of one text: the sentence with the mask in it (Algorithm 1 of the paper). Of two texts:
    followed by the original sentence, as in TinyBERT's published code, so that the model sees the word.
    """

    template: Template
    mask_id: int
    max_seq_length: int

    @property
    def capacity(self) -> int:
        """Number of tokens of a sentence that fit."""
        return (self.max_seq_length - self.template.count) // len(self.template.text_segments)

    def masked(self, ids: Sequence[int], index: int) -> Context:
        """Context with token `index` of a sentence's `ids` (without special tokens) masked.

        A sentence that is too long is reduced to a window around the token.
        """
        begin = max(0, min(index - self.capacity // 2, len(ids) - self.capacity))
        window = ids[begin : begin + self.capacity]
        row, segments = self.template.join([window] * len(self.template.text_segments))
        position = index - begin + len(self.template.gaps[0])
        row[position] = self.mask_id
        return Context(tuple(row), segments.count(0), position)


def pieces_of_words(words: Sequence[Word], spans: Sequence[tuple[int, int]]) -> list[range]:
    """Index range of the pieces of each word.

    words  words of a text, in order
    spans  (start, end) of all pieces of the text, in order
    """
    starts = [start for start, _ in spans]
    return [range(bisect_left(starts, word.start), bisect_left(starts, word.end)) for word in words]
