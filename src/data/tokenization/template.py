"""Special tokens around texts, as the post-processor of a tokenizer adds them.

`[CLS] a [SEP] b [SEP]` of BERT, `<s> a </s></s> b </s>` of RoBERTa.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import tokenizers

from ...errors import UserError

Ids = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Template:
    """The special tokens before, between and after the texts of a row.

    gaps           ids before the first text, between texts, after the last: one more than texts
    gap_segments   segment ids of the tokens of `gaps`
    text_segments  segment id of the tokens of each text
    """

    gaps: tuple[Ids, ...]
    gap_segments: tuple[Ids, ...]
    text_segments: Ids

    @property
    def count(self) -> int:
        """Number of special tokens in a row."""
        return sum(map(len, self.gaps))

    def join(self, texts: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
        """(ids, segment ids) of a row of these texts, given as ids."""
        ids, segments = list(self.gaps[0]), list(self.gap_segments[0])
        rest = zip(texts, self.text_segments, self.gaps[1:], self.gap_segments[1:], strict=True)
        for text, segment, gap, gap_segments in rest:
            ids += [*text, *gap]
            segments += [*[segment] * len(text), *gap_segments]
        return ids, segments

    def without_segments(self) -> Template:
        """The template with segment id 0 everywhere, for a model that is given no token types."""
        return Template(
            self.gaps, tuple((0,) * len(gap) for gap in self.gaps), (0,) * len(self.text_segments)
        )


def template_of(backend: tokenizers.Tokenizer, count: int, source: object) -> Template:
    """The Template of `count` texts (1 or 2), found by post-processing two short ones.

    `backend` must not truncate or pad. Raises UserError for a post-processor that does not frame the texts in
    their order.
    """
    texts = _probes(backend)[:count]
    row = backend.post_process(texts[0], texts[1] if count == 2 else None, add_special_tokens=True)
    special, position = row.special_tokens_mask, 0
    gaps, gap_segments, text_segments = [], [], []
    for text in (*texts, None):
        start = position
        while position < len(special) and special[position]:
            position += 1
        gaps.append(tuple(row.ids[start:position]))
        gap_segments.append(tuple(row.type_ids[start:position]))
        if text is not None:
            if row.ids[position : position + len(text.ids)] != text.ids:
                raise UserError(
                    f"{source}: the post_processor does not keep the texts of a row in their order"
                )
            text_segments.append(row.type_ids[position])
            position += len(text.ids)
    if position != len(special):
        raise UserError(f"{source}: the post_processor repeats the texts of a row")
    return Template(tuple(gaps), tuple(gap_segments), tuple(text_segments))


def _probes(backend: tokenizers.Tokenizer) -> list[tokenizers.Encoding]:
    """Encodings of two texts that differ."""
    found: dict[Ids, tokenizers.Encoding] = {}
    # Of a large vocabulary the list takes a while: only for one without Latin letters and digits.
    words = (words() for words in (lambda: ("a", "b", "0", "1"), backend.get_vocab))
    for word in itertools.chain.from_iterable(words):
        encoding = backend.encode(word, add_special_tokens=False)
        if encoding.ids:
            found.setdefault(tuple(encoding.ids), encoding)
        if len(found) == 2:
            break
    # A vocabulary of a single token has no second text.
    return list(found.values()) * (2 if len(found) == 1 else 1)


def longest_first(length_a: int, length_b: int, budget: int) -> tuple[int, int]:
    """Lengths of a pair truncated to `budget` tokens, as `longest_first` of tokenizers and transformers.

    The longer text is shortened to the length of the other before both are; of an odd budget the text that
    was longer, or the second, keeps one token more.
    """
    if length_a + length_b <= budget:
        return length_a, length_b
    if length_a > length_b:
        return longest_first(length_b, length_a, budget)[::-1]
    shorter = min(length_a, budget // 2)
    return shorter, budget - shorter
