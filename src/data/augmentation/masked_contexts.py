"""Words as word pieces, and the sentence around a masked one: what a masked language model is asked."""

import dataclasses
from bisect import bisect_left
from typing import NamedTuple


class Context(NamedTuple):
    """A row with one masked piece: `ids`, the length of its first segment, and the place of [MASK]."""

    ids: tuple
    first: int
    place: int


@dataclasses.dataclass(frozen=True)
class ContextForm:
    """How contexts are built: the ids of the three tokens, the longest row, and what the row holds.

    `pair` False: the sentence with [MASK] in it (Algorithm 1 of the paper). True: after it, as a second
    segment, the sentence itself, as TinyBERT's published code does: the prediction then knows the word.
    """

    cls_id: int
    sep_id: int
    mask_id: int
    max_seq_length: int
    pair: bool = False

    @property
    def room(self):
        """Pieces of a sentence that fit."""
        return (self.max_seq_length - 3) // 2 if self.pair else self.max_seq_length - 2

    def masked(self, ids, place):
        """The Context of piece `place` of a sentence's `ids` (without [CLS] and [SEP]).

        Of a sentence that is too long the pieces around the place are taken.
        """
        begin = max(0, min(place - self.room // 2, len(ids) - self.room))
        window = ids[begin : begin + self.room]
        row = [self.cls_id, *window, self.sep_id]
        row[place - begin + 1] = self.mask_id
        second = [*window, self.sep_id] if self.pair else []
        return Context((*row, *second), len(row), place - begin + 1)


def pieces_of_words(words, spans):
    """For each word the range of pieces that write it.

    words  Words of a text (data.augment_words), in order
    spans  [(start, end)] of all pieces of the text, in order
    """
    starts = [start for start, _ in spans]
    return [range(bisect_left(starts, word.start), bisect_left(starts, word.end)) for word in words]
