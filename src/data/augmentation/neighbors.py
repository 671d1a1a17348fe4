"""Nearest neighbors of words by cosine similarity of their vectors.

V words of a table, D dimensions, W query words, M neighbors.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .words import STOP_WORDS, is_word

# Query words and words of the table per matrix product: 16 MB of similarities.
QUERIES, BLOCK = 128, 32768


def is_candidate(word: str) -> bool:
    """True for a word that may replace another: a word, and not a stop word."""
    return is_word(word) and word.lower() not in STOP_WORDS


@dataclasses.dataclass
class WordTable:
    """`words` [V] distinct, in lower case; `vectors` [V, D] float32 of length 1 or 0, maybe memory-mapped."""

    words: list[str]
    vectors: np.ndarray

    @functools.cached_property
    def row_of(self) -> dict[str, int]:
        """{word: its row}."""
        return {word: row for row, word in enumerate(self.words)}


def nearest(table: WordTable, queries: np.ndarray, own: np.ndarray, count: int) -> np.ndarray:
    """[W, count] int64 rows of the `count` words with the largest cosine similarity, nearest first.

    queries  [W, D] float32, of any length
    own      [W] int, row of the query word itself, which is excluded, or -1
    Ties are broken by row. The table is read in blocks, so that it may exceed the memory.
    """
    count = max(min(count, len(table.words) - 1), 0)
    found = [
        _nearest(table.vectors, queries[start : start + QUERIES], own[start : start + QUERIES], count)
        for start in range(0, len(queries), QUERIES)
    ]
    return np.concatenate(found) if found else np.empty((0, count), np.int64)


def _nearest(vectors: np.ndarray, queries: np.ndarray, own: np.ndarray, count: int) -> np.ndarray:
    scores = np.full((len(queries), count), -np.inf, np.float32)
    rows = np.zeros((len(queries), count), np.int64)
    query_rows = np.arange(len(queries))
    for start in range(0, len(vectors), BLOCK):
        block = queries @ vectors[start : start + BLOCK].T
        inside = (own >= start) & (own < start + block.shape[1])
        block[query_rows[inside], own[inside] - start] = -np.inf
        # After the first block few words are nearer than those found: a comparison avoids sorting.
        nearer = block > scores[:, -1:]
        for query in np.flatnonzero(nearer.any(axis=1)):
            columns = np.flatnonzero(nearer[query])
            values = block[query, columns]
            if len(columns) > count:
                kept = values >= np.partition(values, -count)[-count]
                columns, values = columns[kept], values[kept]
            values = np.concatenate([scores[query], values])
            # Stable sort with earlier rows first: ties stay in the order of the table.
            order = np.argsort(-values, kind="stable")[:count]
            scores[query] = values[order]
            rows[query] = np.concatenate([rows[query], columns + start])[order]
    return rows


def neighbors_in(table: WordTable, keys: Iterable[str], count: int) -> dict[str, tuple[str, ...]]:
    """{key: its `count` nearest words} of the keys that are in the table."""
    keys = [key for key in keys if key in table.row_of]
    own = np.array([table.row_of[key] for key in keys], np.int64)
    return _as_words(table, keys, nearest(table, table.vectors[own], own, count))


def neighbors_by_pieces(
    vocab: Mapping[str, int], embeddings: np.ndarray, words: Mapping[str, Sequence[int]], count: int
) -> dict[str, tuple[str, ...]]:
    """Like `neighbors_in`, with the word embeddings [pieces, D] of a model.

    `words` {key: ids of its pieces}. Words of one piece are compared with the whole words of the vocabulary
    {piece: id}. Words of several pieces are represented by the mean of their pieces and compared with each
    other: in the vocabulary the nearest would be their own first piece.
    """
    table = table_of_pieces(vocab, embeddings)
    single = [key for key, ids in words.items() if len(ids) == 1]
    several = [key for key, ids in words.items() if len(ids) > 1]
    found: dict[str, tuple[str, ...]] = {}
    if single:
        own = np.array([table.row_of.get(key, -1) for key in single], np.int64)
        queries = embeddings[[words[key][0] for key in single]]
        found = _as_words(table, single, nearest(table, queries, own, count))
    if len(several) > 1:
        means = np.stack([embeddings[list(words[key])].mean(axis=0) for key in several])
        found.update(neighbors_in(WordTable(several, unit_rows(means)), several, count))
    return found


def _as_words(table: WordTable, keys: Iterable[str], rows: np.ndarray) -> dict[str, tuple[str, ...]]:
    return {key: tuple(table.words[row] for row in found) for key, found in zip(keys, rows, strict=True)}


def table_of_pieces(vocab: Mapping[str, int], embeddings: np.ndarray) -> WordTable:
    """WordTable of the pieces {piece: id} that are whole words, with their embeddings.

    A capitalized word is used in lower case unless the lower-case word is a piece too.
    """
    ids: dict[str, int] = {}
    for piece, index in sorted(vocab.items(), key=lambda entry: entry[1]):
        if is_candidate(piece) and (piece == piece.lower() or piece.lower() not in vocab):
            ids.setdefault(piece.lower(), index)
    return WordTable(list(ids), unit_rows(embeddings[list(ids.values())]))


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Normalize the rows of [n, D] to unit length; zero rows stay."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return (vectors / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)
