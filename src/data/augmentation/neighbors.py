"""The nearest words of a word by their vectors: candidates without a sentence.

V words of a table, D numbers each, W words asked for, M neighbours.
"""

import dataclasses
import functools

import numpy as np

from .words import STOP_WORDS, is_word

# Words asked for and words of the table in one matrix product: 16 MB of similarities.
QUERIES, BLOCK = 128, 32768


def is_candidate(word):
    """True for a word that may take another's place: a word, and no stop word."""
    return is_word(word) and word.lower() not in STOP_WORDS


@dataclasses.dataclass
class WordTable:
    """`words` [V] in lower case, each once; `vectors` [V, D] float32 of length 1 or 0, perhaps mapped."""

    words: list
    vectors: np.ndarray

    @functools.cached_property
    def place(self):
        """{word: its row}."""
        return {word: row for row, word in enumerate(self.words)}


def nearest(table, queries, own, count):
    """The `count` words of largest cosine: [W, count] int64 rows of the table, the nearest first.

    queries  [W, D] float32, of any length
    own      [W] int: the row of the word itself, which is no neighbour, or -1
    Equal cosines go by row. The table is read in blocks, so that it may be larger than the memory.
    """
    count = max(min(count, len(table.words) - 1), 0)
    found = [
        _nearest(table.vectors, queries[start : start + QUERIES], own[start : start + QUERIES], count)
        for start in range(0, len(queries), QUERIES)
    ]
    return np.concatenate(found) if found else np.empty((0, count), np.int64)


def _nearest(vectors, queries, own, count):
    scores = np.full((len(queries), count), -np.inf, np.float32)
    rows = np.zeros((len(queries), count), np.int64)
    asked = np.arange(len(queries))
    for start in range(0, len(vectors), BLOCK):
        block = queries @ vectors[start : start + BLOCK].T
        inside = (own >= start) & (own < start + block.shape[1])
        block[asked[inside], own[inside] - start] = -np.inf
        # After the first block few words are nearer than those found: a comparison, and no sort, finds them.
        nearer = block > scores[:, -1:]
        for query in np.flatnonzero(nearer.any(axis=1)):
            places = np.flatnonzero(nearer[query])
            values = block[query, places]
            if len(places) > count:
                kept = values >= np.partition(values, -count)[-count]
                places, values = places[kept], values[kept]
            values = np.concatenate([scores[query], values])
            # Stable, and earlier rows come first: equal scores stay in the order of the table.
            order = np.argsort(-values, kind="stable")[:count]
            scores[query] = values[order]
            rows[query] = np.concatenate([rows[query], places + start])[order]
    return rows


def neighbors_in(table, keys, count):
    """{key: tuple of its `count` nearest words} of the keys that are words of the table."""
    keys = [key for key in keys if key in table.place]
    own = np.array([table.place[key] for key in keys], np.int64)
    return _as_words(table, keys, nearest(table, table.vectors[own], own, count))


def neighbors_by_pieces(vocab, embeddings, words, count):
    """As `neighbours_in`, by the word embeddings [pieces, D] of a model.

    `words` {key: the ids of its pieces}. A word of one piece is sought among the whole words of the
    vocabulary {piece: id}. A word of several, for which a model has no vector, has the mean of its pieces
    and is sought among the other `words` of several: in a vocabulary the nearest is its own beginning.
    """
    table = table_of_pieces(vocab, embeddings)
    single = [key for key, ids in words.items() if len(ids) == 1]
    several = [key for key, ids in words.items() if len(ids) > 1]
    found = {}
    if single:
        own = np.array([table.place.get(key, -1) for key in single], np.int64)
        queries = embeddings[[words[key][0] for key in single]]
        found = _as_words(table, single, nearest(table, queries, own, count))
    if len(several) > 1:
        means = np.stack([embeddings[words[key]].mean(axis=0) for key in several])
        found.update(neighbors_in(WordTable(several, unit_rows(means)), several, count))
    return found


def _as_words(table, keys, rows):
    return {key: tuple(table.words[place] for place in found) for key, found in zip(keys, rows, strict=True)}


def table_of_pieces(vocab, embeddings):
    """The WordTable of a model: those of its pieces {piece: id} that are whole words, and their embeddings.

    A word with a capital stands for itself in lower case only where that is no piece.
    """
    ids = {}
    for piece, index in sorted(vocab.items(), key=lambda entry: entry[1]):
        if is_candidate(piece) and (piece == piece.lower() or piece.lower() not in vocab):
            ids.setdefault(piece.lower(), index)
    return WordTable(list(ids), unit_rows(embeddings[list(ids.values())]))


def unit_rows(vectors):
    """[n, D] divided by their lengths; a row of zeros stays."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)
