"""Packs the sentences of a document into rows of segments A and B.

Every token is used exactly once, and no row spans two documents.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np

from ..tokenization.tokenizer import TextTokenizer
from .documents import DocumentKey


@dataclasses.dataclass(frozen=True)
class PackingRules:
    """Packing parameters.

    capacity         text tokens per row
    short_seq_prob   probability that a row has a shorter target length, drawn from 2..capacity
    continuations    [vocabulary] bool, true for the tokens that continue a word ("##ing")
    """

    capacity: int
    short_seq_prob: float
    continuations: np.ndarray


def packing_rules(tokenizer: TextTokenizer, max_seq_length: int, short_seq_prob: float) -> PackingRules:
    """PackingRules for rows of `max_seq_length` with the special tokens of a pair."""
    return PackingRules(max_seq_length - tokenizer.pair.count, short_seq_prob, tokenizer.continuations)


def pack(
    sentences: Iterable[tuple[DocumentKey, list[int]]],
    rules: PackingRules,
    rng_of: Callable[[DocumentKey], np.random.Generator],
) -> Iterator[tuple[DocumentKey, list[int], list[int]]]:
    """Iterate over (key, A, B) of the rows, A and B lists of ids; B is empty for a row of one sentence.

    sentences  (key, ids) of each sentence; the sentences of a document are consecutive and share its key
    rng_of     random generator of a document by its key, so that its rows depend on nothing else
    Sentences are kept whole if they fit into a row; longer ones are split between words.
    """
    for key, document in groupby(sentences, itemgetter(0)):
        rng = rng_of(key)
        parts: list[list[int]] = []
        length = target = 0
        for _, ids in document:
            for piece in split_long(ids, rules):
                if parts and (length >= target or length + len(piece) > rules.capacity):
                    yield key, *_split_segments(parts, rng)
                    parts = []
                if not parts:
                    length, target = 0, _target_length(rules, rng)
                parts.append(piece)
                length += len(piece)
        if parts:
            yield key, *_split_segments(parts, rng)


def _target_length(rules: PackingRules, rng: np.random.Generator) -> int:
    short = rules.short_seq_prob and rng.random() < rules.short_seq_prob
    return int(rng.integers(2, rules.capacity + 1)) if short else rules.capacity


def _split_segments(parts: Sequence[list[int]], rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Divide the sentences of a row into segments A and B at random, as BERT does."""
    end_a = int(rng.integers(1, len(parts))) if len(parts) > 1 else 1
    return sum(parts[:end_a], []), sum(parts[end_a:], [])


def split_long(ids: list[int], rules: PackingRules) -> Iterator[list[int]]:
    """Split ids into pieces of at most the rows' capacity, between words where possible."""
    while len(ids) > rules.capacity:
        cut = rules.capacity
        while cut > 1 and rules.continuations[ids[cut]]:
            cut -= 1
        # A single word longer than a row is split anywhere.
        cut = cut if cut > 1 else rules.capacity
        yield ids[:cut]
        ids = ids[cut:]
    if ids:
        yield ids
