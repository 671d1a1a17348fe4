"""Batches of a table: length buckets, shuffling and odd tails, as a pure function of (seed, epoch).

B batch size, S' the length of a bucket.
"""

from typing import NamedTuple

import numpy as np

from ..errors import UserError

STEP = 8
# Compiling the graph of one more length costs about as much as this many padded tokens: 10 s for a
# distillation step against 1.3 ms a token (teacher 6 x 384, student 3 x 312, 2 cores).
COMPILE_TOKENS = 8000


class Batch(NamedTuple):
    """input_ids, token_type_ids, attention_mask [B, S'] int32; labels, weights (float32), rows (int64) [B].

    A row of weight 0 only fills the batch: it repeats a row that is elsewhere in the epoch. `labels` are
    int32 or float32 as of TokenizedDataset.labels_of; `rows` are the rows' numbers in the table.
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    attention_mask: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    rows: np.ndarray


def choose_buckets(lengths, max_seq_length, limit=5, passes=None):
    """At most `limit` static lengths that pad rows of `lengths` to the fewest tokens.

    Ascending, multiples of 8; the last is the longest length present, rounded up, never above
    `max_seq_length`. Found by dynamic programming over the histogram of the rounded lengths. With `passes`,
    the epochs to come, a further length is taken only if the padding it saves outweighs the compilation of
    its graph.
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
        if passes is None
        else int(np.argmin([total * passes + count * COMPILE_TOKENS for count, total in enumerate(totals)]))
    )
    places = [len(ends) - 1]
    for cut in reversed(cuts[:taken]):
        places.append(cut[places[-1]])
    return sorted({int(ends[place]) for place in places})


def buckets_beside(known, lengths, grid):
    """The static lengths for one pass over rows of `lengths`, where graphs of the lengths `known` exist.

    New ones are taken from the ascending `grid` (its last holds every row), by the rule of `choose_buckets`;
    none where padding to those that exist costs less. None is longer than the longest row needs: rows that
    fill no batch would go up to it.
    """
    lengths, grid = np.asarray(lengths), np.asarray(grid)
    new = set(choose_buckets(grid[np.searchsorted(grid, lengths)], int(grid[-1]), len(grid), passes=1))
    both = _as_long_as_needed(new | set(known), lengths)
    old = _as_long_as_needed(known, lengths)
    compiled = COMPILE_TOKENS * len(set(both) - set(known))
    if old and _padded_tokens(lengths, old) <= _padded_tokens(lengths, both) + compiled:
        return old
    return both


def _as_long_as_needed(buckets, lengths):
    """`buckets` in order, up to the first that holds every row; empty where none does."""
    buckets = sorted(buckets)
    count = int(np.searchsorted(buckets, np.max(lengths))) + 1
    return buckets[:count] if count <= len(buckets) else []


def _padded_tokens(lengths, buckets):
    return int(np.asarray(buckets)[np.searchsorted(buckets, lengths)].sum())


class SortedDataLoader:
    """Batches of a table from its shortest rows to its longest, each padded to its own longest row.

    For a model that takes any shape: no row only fills a batch. With `equal` only rows of one length share a
    batch, so that nothing is padded at all.
    """

    def __init__(self, table, batch_size, equal=False):
        self.table, self.batch_size, self.equal = table, batch_size, equal

    def epoch(self, epoch=0):
        """Iterate over the batches, the same in every epoch."""
        order = np.argsort(self.table.lengths, kind="stable")
        ends = np.flatnonzero(np.diff(self.table.lengths[order])) + 1 if self.equal else ()
        for group in np.split(order, ends):
            for start in range(0, len(group), self.batch_size):
                yield self._batch(group[start : start + self.batch_size])

    def _batch(self, rows):
        length = self.table.lengths[rows].max()
        columns = self.table.padded(rows, length)
        return Batch(*columns, self.table.labels_of(rows, length), np.ones(len(rows), np.float32), rows)


class BucketDataLoader:
    """The batches of a table for one rank.

    Every real row is read exactly once an epoch over all ranks, and all ranks take the same number of steps
    of the same lengths. The rows that do not fill a batch of their bucket go up to the next longer one, so
    that only one batch, of the longest bucket, can hold rows of weight 0.
    """

    def __init__(self, table, batch_size, buckets, shuffle, seed, rank=0, rank_size=1):
        """`batch_size` is per rank, `buckets` ascending lengths (`choose_buckets`).

        Raises UserError for a batch size below 1, a table without rows and a row longer than every bucket.
        """
        if batch_size < 1:
            raise UserError(f"batch_size {batch_size} is not a positive number")
        if not table.rows:
            raise UserError("there is no row to make batches of")
        self.table, self.batch_size, self.buckets = table, batch_size, list(buckets)
        self.shuffle, self.seed, self.rank, self.rank_size = shuffle, seed, rank, rank_size
        bucket_of = np.searchsorted(self.buckets, table.lengths)
        if bucket_of.max() == len(self.buckets):
            raise UserError(
                f"a row has {table.lengths.max()} tokens, more than the longest bucket, {self.buckets[-1]}"
            )
        self._members = [np.flatnonzero(bucket_of == b) for b in range(len(self.buckets))]

    @property
    def steps_per_epoch(self):
        """Steps of one epoch, the same on every rank."""
        return -(-self.table.rows // (self.batch_size * self.rank_size))

    def epoch(self, epoch, skip=0):
        """Iterate over the batches of epoch number `epoch`, from step `skip` on (to resume inside one)."""
        for length, rows, weights in self._plan(epoch)[skip:]:
            ids, segments, mask = self.table.padded(rows, length)
            yield Batch(ids, segments, mask, self.table.labels_of(rows, length), weights, rows)

    def _plan(self, epoch):
        """This rank's steps: (length, rows [B], weights [B]), without any token touched yet."""
        draw = np.random.default_rng([self.seed, epoch]) if self.shuffle else None
        whole = self.batch_size * self.rank_size
        steps, waiting = [], np.empty(0, np.int64)
        for length, members in zip(self.buckets, self._members, strict=True):
            rows = np.concatenate([waiting, members])
            rows = draw.permutation(rows) if self.shuffle else np.sort(rows)
            full = len(rows) // whole * whole
            steps += [(length, *self._share(batch, whole)) for batch in rows[:full].reshape(-1, whole)]
            waiting, longest = rows[full:], length
        if len(waiting):
            steps.append((longest, *self._share(waiting, whole)))
        order = draw.permutation(len(steps)) if self.shuffle else range(len(steps))
        return [steps[i] for i in order]

    def _share(self, batch, whole):
        # Every rank_size-th row, so that the filling rows of the last batch are spread over the ranks.
        filled = np.resize(batch, whole)[self.rank :: self.rank_size]
        real = (np.arange(whole) < len(batch))[self.rank :: self.rank_size]
        # The weights of a whole batch average to 1 over all ranks, however many of its rows only fill.
        return filled, real.astype(np.float32) * np.float32(whole / len(batch))
