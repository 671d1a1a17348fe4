"""Batches of a dataset: length buckets, shuffling and incomplete batches, a pure function of (seed, epoch).

B batch size, S' the length of a bucket.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import UserError
from .dataset import TokenizedDataset

STEP = 4
# Compiling the graph of one more length costs about as much as this many padded tokens: 10 s for a
# distillation step against 1.3 ms per token (teacher 6 x 384, student 3 x 312, 2 cores).
COMPILE_TOKENS = 8000


class Batch(NamedTuple):
    """input_ids, token_type_ids, attention_mask [B, S'] int32; labels, weights (float32), rows (int64) [B].

    A row of weight 0 only fills the batch: it repeats another row of the epoch. `labels` are int32 or float32
    as in TokenizedDataset.labels_of; `rows` are the row numbers in the dataset.
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    attention_mask: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    rows: np.ndarray


def choose_buckets(
    lengths: ArrayLike, max_seq_length: int, limit: int = 8, epochs: int | None = None
) -> list[int]:
    """At most `limit` static lengths that pad rows of `lengths` to the fewest tokens.

    Ascending, multiples of 4; the last is the longest length present, rounded up, never above
    `max_seq_length`. Found by dynamic programming over the histogram of the rounded lengths. With `epochs` a
    further length is taken only if the padding it saves in that many epochs outweighs the compilation of its
    graph.
    """
    rounded = np.minimum(-(-np.asarray(lengths) // STEP) * STEP, max_seq_length)
    ends, counts = np.unique(rounded, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    # last_bucket[i, j]: padded tokens of a bucket of length ends[j] whose rows are longer than ends[i]
    # (none, so no cost, for i = j: one bucket fewer).
    last_bucket = (below[None, 1:] - below[1:, None]) * ends[None, :].astype(float)
    last_bucket[np.tril_indices(len(ends), -1)] = np.inf
    # cost[j]: padded tokens of the rows up to ends[j] in the buckets so far, the last of them ends[j].
    cost, cuts = (below[1:] * ends).astype(float), []
    totals = [cost[-1]]
    for _ in range(limit - 1):
        options = cost[:, None] + last_bucket
        cuts.append(options.argmin(axis=0))
        cost = options.min(axis=0)
        totals.append(cost[-1])
    taken = (
        limit - 1
        if epochs is None
        else int(np.argmin([total * epochs + count * COMPILE_TOKENS for count, total in enumerate(totals)]))
    )
    places = [len(ends) - 1]
    for cut in reversed(cuts[:taken]):
        places.append(cut[places[-1]])
    return sorted({int(ends[place]) for place in places})


def extend_buckets(known: Iterable[int], lengths: ArrayLike, grid: ArrayLike) -> list[int]:
    """The static lengths for one pass over rows of `lengths`, where graphs of the lengths `known` exist.

    New ones are taken from the ascending `grid` (the last fits every row), by the rule of `choose_buckets`;
    none where padding to the existing ones costs less. None is longer than the longest row needs: rows of an
    incomplete batch would be padded to it.
    """
    lengths, grid = np.asarray(lengths), np.asarray(grid)
    new = set(choose_buckets(grid[np.searchsorted(grid, lengths)], int(grid[-1]), len(grid), epochs=1))
    both = _up_to_longest(new | set(known), lengths)
    old = _up_to_longest(known, lengths)
    compiled = COMPILE_TOKENS * len(set(both) - set(known))
    if old and _padded_tokens(lengths, old) <= _padded_tokens(lengths, both) + compiled:
        return old
    return both


def _up_to_longest(buckets: Iterable[int], lengths: np.ndarray) -> list[int]:
    """`buckets` in order, up to the first that fits every row; empty where none does."""
    buckets = sorted(buckets)
    count = int(np.searchsorted(buckets, np.max(lengths))) + 1
    return buckets[:count] if count <= len(buckets) else []


def _padded_tokens(lengths: np.ndarray, buckets: list[int]) -> int:
    return int(np.asarray(buckets)[np.searchsorted(buckets, lengths)].sum())


class SortedDataLoader:
    """Batches of a dataset from its shortest rows to its longest, each padded to its own longest row.

    For models that take any shape: there are no filler rows. With `equal` only rows of one length share a
    batch, without any padding.
    """

    def __init__(self, dataset: TokenizedDataset, batch_size: int, equal: bool = False) -> None:
        self.dataset, self.batch_size, self.equal = dataset, batch_size, equal

    def epoch(self, epoch: int = 0) -> Iterator[Batch]:
        """Iterate over the batches, the same in every epoch."""
        order = np.argsort(self.dataset.lengths, kind="stable")
        ends = np.flatnonzero(np.diff(self.dataset.lengths[order])) + 1 if self.equal else ()
        for group in np.split(order, ends):
            for start in range(0, len(group), self.batch_size):
                yield self._batch(group[start : start + self.batch_size])

    def _batch(self, rows: np.ndarray) -> Batch:
        length = self.dataset.lengths[rows].max()
        columns = self.dataset.padded(rows, length)
        return Batch(*columns, self.dataset.labels_of(rows, length), np.ones(len(rows), np.float32), rows)


class BucketDataLoader:
    """The batches of a dataset for one rank.

    Every row is read exactly once per epoch over all ranks, and all ranks take the same number of steps of
    the same lengths. Rows that do not fill a batch of their bucket move to the next longer one, so that only
    one batch, of the longest bucket, can hold filler rows of weight 0.
    """

    def __init__(
        self,
        dataset: TokenizedDataset,
        batch_size: int,
        buckets: Sequence[int],
        shuffle: bool,
        seed: int,
        rank: int = 0,
        rank_size: int = 1,
    ) -> None:
        """`batch_size` is per rank, `buckets` ascending lengths (`choose_buckets`).

        Raises UserError for a batch size below 1, a dataset without rows and a row longer than every bucket.
        """
        if batch_size < 1:
            raise UserError(f"batch_size {batch_size} is not a positive number")
        if not dataset.rows:
            raise UserError("the dataset has no rows")
        self.dataset, self.batch_size, self.buckets = dataset, batch_size, list(buckets)
        self.shuffle, self.seed, self.rank, self.rank_size = shuffle, seed, rank, rank_size
        bucket_of = np.searchsorted(self.buckets, dataset.lengths)
        if bucket_of.max() == len(self.buckets):
            raise UserError(
                f"a row has {dataset.lengths.max()} tokens, more than the longest bucket, {self.buckets[-1]}"
            )
        self._members = [np.flatnonzero(bucket_of == b) for b in range(len(self.buckets))]

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch, the same on every rank."""
        return -(-self.dataset.rows // (self.batch_size * self.rank_size))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Iterate over the batches of epoch number `epoch` from step `skip` on (to resume inside one)."""
        for length, rows, weights in self._plan(epoch)[skip:]:
            ids, segments, mask = self.dataset.padded(rows, length)
            yield Batch(ids, segments, mask, self.dataset.labels_of(rows, length), weights, rows)

    def _plan(self, epoch: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """This rank's steps: (length, rows [B], weights [B])."""
        draw = np.random.default_rng([self.seed, epoch]) if self.shuffle else None
        whole = self.batch_size * self.rank_size
        steps, waiting = [], np.empty(0, np.int64)
        for length, members in zip(self.buckets, self._members, strict=True):
            rows = np.concatenate([waiting, members])
            rows = draw.permutation(rows) if draw else np.sort(rows)
            full = len(rows) // whole * whole
            steps += [(length, *self._share(batch, whole)) for batch in rows[:full].reshape(-1, whole)]
            waiting, longest = rows[full:], length
        if len(waiting):
            steps.append((longest, *self._share(waiting, whole)))
        order = draw.permutation(len(steps)) if draw else range(len(steps))
        return [steps[i] for i in order]

    def _share(self, batch: np.ndarray, whole: int) -> tuple[np.ndarray, np.ndarray]:
        # Every rank_size-th row, so that the filler rows of the last batch are spread over the ranks.
        filled = np.resize(batch, whole)[self.rank :: self.rank_size]
        real = (np.arange(whole) < len(batch))[self.rank :: self.rank_size]
        # The weights of a global batch average to 1 over all ranks, however many filler rows it has.
        return filled, real.astype(np.float32) * np.float32(whole / len(batch))
