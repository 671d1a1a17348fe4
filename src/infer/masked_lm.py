"""The most probable words at many masked positions, in batches.

Shape letters: R tokens of a batch, P sequences of a batch, each with one masked token, C candidate words.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import mindspore as ms
import numpy as np

BLOCK = 64  # logits per block maximum in `top_k`

Context = tuple[Sequence[int], int, int]  # ids, length of the first segment, masked position


class Batch(NamedTuple):
    """Rows of one call: `rows` [n] of the contexts, `starts` [n] their first tokens, of `tokens` R in all."""

    rows: np.ndarray
    starts: np.ndarray
    tokens: int


Batching = Callable[[np.ndarray], Iterator[Batch]]  # of the lengths [n] of all contexts


def bucketed(buckets: Sequence[int], batch_size: int) -> Batching:
    """Batches of `batch_size` contexts, each padded to the first of the ascending lengths that it fits."""

    def batches(lengths: np.ndarray) -> Iterator[Batch]:
        bucket = np.searchsorted(buckets, lengths)
        for index, length in enumerate(buckets):
            members = np.flatnonzero(bucket == index)
            for start in range(0, len(members), batch_size):
                rows = members[start : start + batch_size]
                yield Batch(rows, np.arange(len(rows)) * length, batch_size * length)

    return batches


def packed(tokens: int, batch_size: int) -> Batching:
    """Batches of at most `tokens` tokens and `batch_size` contexts, one after another without padding.

    Long and short contexts are dealt out to as few batches as hold them. `tokens` fits the longest context.
    """

    def batches(lengths: np.ndarray) -> Iterator[Batch]:
        order = np.argsort(-lengths, kind="stable")
        count = max(-(-int(lengths.sum()) // tokens), -(-len(lengths) // batch_size))
        while count and lengths[order[::count]].sum() > tokens:  # the first batch is the largest
            count += 1
        for number in range(count):
            rows = order[number::count]
            yield Batch(rows, np.cumsum(lengths[rows]) - lengths[rows], tokens)

    return batches


class MaskedLMPredictor:
    """Predicts the best words for contexts with a masked language model.

    network     function of input_ids, token_type_ids, sequences, position_ids [R], positions [P] int32, as
                src.model.masked_lm.WordLogits -> logits [P, C]
    words       [C] ids of the words, ascending
    batching    `packed` or `bucketed`; calls of equal shape, so that predictions for a context do not depend
                on the other contexts
    batch_size  P
    count       M words per position
    """

    def __init__(
        self,
        network: Callable[..., ms.Tensor],
        words: np.ndarray,
        batching: Batching,
        batch_size: int,
        count: int,
    ) -> None:
        self.network, self.words, self.batching = network, words, batching
        self.batch_size, self.count = batch_size, min(count, len(words))

    def __call__(self, contexts: Sequence[Context]) -> np.ndarray:
        """[n, M] int32 ids, the most probable first, for (ids, length of first segment, position) each."""
        predictions = np.zeros((len(contexts), self.count), np.int32)
        for batch in self.batching(np.array([len(ids) for ids, _, _ in contexts], np.int64)):
            predictions[batch.rows] = self._predict([contexts[row] for row in batch.rows], batch)
        return predictions

    def _predict(self, contexts: Sequence[Context], batch: Batch) -> np.ndarray:
        ids, types, sequences, position_ids = columns = np.zeros((4, batch.tokens), np.int32)
        positions = np.zeros(self.batch_size, np.int32)
        for number, (context, first_length, position) in enumerate(contexts):
            start, size = batch.starts[number], len(context)
            ids[start : start + size], sequences[start : start + size] = context, number + 1
            types[start + first_length : start + size] = 1
            position_ids[start : start + size] = np.arange(size)
            positions[number] = start + position
        logits = self.network(*map(ms.Tensor, (*columns, positions))).asnumpy()[: len(contexts)]
        return self.words[top_k(logits, self.count)]


def top_k(values: np.ndarray, count: int) -> np.ndarray:
    """Columns of the `count` largest values in each row of [n, V], in descending order, ties by column.

    Exact, and seven times faster than a partition of each row: at least `count` values reach the count-th
    largest block maximum, and few exceed it.
    """
    rows, width = values.shape
    blocks = width // BLOCK
    if blocks <= count:
        return np.argsort(-values, axis=1, kind="stable")[:, :count]
    maxima = values[:, : blocks * BLOCK].reshape(rows, blocks, BLOCK).max(axis=2)
    bounds = np.partition(maxima, -count, axis=1)[:, -count]
    top = np.empty((rows, count), np.int64)
    for row, bound in enumerate(bounds):
        candidates = np.flatnonzero(values[row] >= bound)
        top[row] = candidates[np.argsort(-values[row, candidates], kind="stable")[:count]]
    return top
