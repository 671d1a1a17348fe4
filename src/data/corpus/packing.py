"""Sentences of a document -> rows of parts A and B: every token once, none lost, none from two documents."""

import dataclasses

import numpy as np

# [CLS] A [SEP] B [SEP]
SPECIAL_PLACES = 3


@dataclasses.dataclass(frozen=True)
class PackingRules:
    """How rows are filled.

    capacity         tokens of text that a row takes
    short_seq_prob   share of the rows that are ended early, at a length drawn from 2..capacity
    continuations    [vocabulary] bool, true for the pieces that go on a word ("##ing")
    """

    capacity: int
    short_seq_prob: float
    continuations: np.ndarray


def packing_rules(tokenizer, max_seq_length, short_seq_prob):
    """The rules for rows of `max_seq_length` with [CLS] and [SEP]."""
    continuations = np.zeros(max(tokenizer.vocab.values()) + 1, bool)
    continuations[[index for piece, index in tokenizer.vocab.items() if piece.startswith("##")]] = True
    return PackingRules(max_seq_length - SPECIAL_PLACES, short_seq_prob, continuations)


def pack(sentences, rules, draw_of):
    """Iterate over (key, A, B) of the rows, A and B lists of ids; B is empty where a sentence stands alone.

    sentences  iterable of (key, ids), the sentences of a document one after another with the same key
    draw_of    function from a key to the random generator of that document, so that its rows depend on
               nothing else
    A sentence is kept whole where a row can hold it; a longer one is split between words.
    """
    current, draw, parts, length, target = None, None, [], 0, 0
    for key, ids in sentences:
        if key != current:
            if parts:
                yield current, *_parts(parts, draw)
            current, draw, parts = key, draw_of(key), []
        for piece in split_long(ids, rules):
            if parts and (length >= target or length + len(piece) > rules.capacity):
                yield current, *_parts(parts, draw)
                parts = []
            if not parts:
                length, target = 0, _target(rules, draw)
            parts.append(piece)
            length += len(piece)
    if parts:
        yield current, *_parts(parts, draw)


def _target(rules, draw):
    short = rules.short_seq_prob and draw.random() < rules.short_seq_prob
    return int(draw.integers(2, rules.capacity + 1)) if short else rules.capacity


def _parts(parts, draw):
    """Divide the sentences of a row between A and B at random, as BERT does."""
    end_a = int(draw.integers(1, len(parts))) if len(parts) > 1 else 1
    return sum(parts[:end_a], []), sum(parts[end_a:], [])


def split_long(ids, rules):
    """Pieces of at most the rows' capacity, cut in front of a word where there is one."""
    while len(ids) > rules.capacity:
        cut = rules.capacity
        while cut > 1 and rules.continuations[ids[cut]]:
            cut -= 1
        # A single word that fills a row has no other place.
        cut = cut if cut > 1 else rules.capacity
        yield ids[:cut]
        ids = ids[cut:]
    if ids:
        yield ids
