"""Buckets and batches: nothing lost, nothing twice, the same again, equal on all ranks."""

import itertools
import time

import numpy as np
import pytest

from src.data.dataloader import COMPILE_TOKENS, BucketDataLoader, choose_buckets, extend_buckets
from src.data.dataset import TokenizedDataset
from src.errors import UserError


def table_of(lengths, seed=0, max_seq_length=64):
    draw = np.random.default_rng(seed)
    lengths = np.asarray(lengths)
    total = lengths.sum()
    return TokenizedDataset.from_flat(
        draw.integers(1, 30000, total),
        draw.integers(0, 2, total),
        lengths,
        np.arange(len(lengths)) % 2,
        max_seq_length,
    )


def lengths_like_sst2(rows, seed=0):
    return np.clip(np.random.default_rng(seed).lognormal(2.3, 0.6, rows).astype(int), 3, 64)


def batches_of(table, batch_size=32, shuffle=True, **options):
    buckets = choose_buckets(table.lengths, table.max_seq_length)
    return BucketDataLoader(table, batch_size, buckets, shuffle, seed=5, **options)


def padded_tokens(lengths, buckets):
    return np.asarray(buckets)[np.searchsorted(buckets, lengths)].sum()


@pytest.mark.parametrize("seed", range(5))
def test_buckets_are_the_best_of_all(seed):
    lengths = lengths_like_sst2(200, seed)
    top = int(-(-lengths.max() // 4) * 4)
    for limit in (1, 2, 3, 4):
        found = choose_buckets(lengths, 64, limit)
        every = (
            sorted({*chosen, top})
            for n in range(limit)
            for chosen in itertools.combinations(range(4, top, 4), n)
        )
        assert len(found) <= limit and found == sorted(found) and found[-1] == top
        assert padded_tokens(lengths, found) == min(padded_tokens(lengths, buckets) for buckets in every)


@pytest.mark.parametrize(
    "lengths, longest, buckets",
    [
        ([5, 5, 5], 64, [8]),
        ([8, 9], 64, [8, 12]),
        ([3, 50], 50, [4, 50]),
        ([128] * 3, 128, [128]),
        ([8, 16, 24, 32], 64, [8, 16, 24, 32]),
    ],
)
def test_small_buckets(lengths, longest, buckets):
    assert choose_buckets(lengths, longest) == buckets


@pytest.mark.parametrize(
    "rows, batch_size, ranks", [(1, 32, 1), (100, 32, 1), (872, 7, 3), (1000, 32, 4), (64, 32, 2), (5, 4, 4)]
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_every_row_exactly_once(rows, batch_size, ranks, shuffle):
    table = table_of(lengths_like_sst2(rows))
    per_rank = [
        list(batches_of(table, batch_size, shuffle, rank=rank, rank_size=ranks).epoch(0))
        for rank in range(ranks)
    ]
    real = np.concatenate([batch.rows[batch.weights > 0] for steps in per_rank for batch in steps])
    assert sorted(real) == list(range(rows))
    # All ranks take the same steps of the same shapes, as many as without buckets.
    shapes = [[batch.input_ids.shape for batch in steps] for steps in per_rank]
    assert all(shape == shapes[0] for shape in shapes)
    assert len(shapes[0]) == -(-rows // (batch_size * ranks))
    assert all(
        batches_of(table, batch_size, rank=rank, rank_size=ranks).steps_per_epoch == len(shapes[0])
        for rank in range(ranks)
    )
    # Every batch averages to weight 1 over the ranks, the one with an odd tail too.
    sums = np.array([[batch.weights.sum() for batch in steps] for steps in per_rank]).sum(axis=0)
    np.testing.assert_allclose(sums, batch_size * ranks, rtol=1e-6)
    # The filling rows stand in one step only and are spread over the ranks.
    filled = np.array([[int((batch.weights == 0).sum()) for batch in steps] for steps in per_rank])
    assert (filled.sum(axis=0) > 0).sum() <= 1 and np.ptp(filled, axis=0).max() <= 1


def test_a_batch_holds_the_rows_it_names():
    table = table_of(lengths_like_sst2(300))
    for batch in batches_of(table).epoch(0):
        assert {values.dtype for values in batch[:3]} == {np.dtype(np.int32)}
        assert (batch.labels.dtype, batch.weights.dtype, batch.rows.dtype) == (np.int32, np.float32, np.int64)
        for i, row in enumerate(batch.rows):
            start, end = table.offsets[row : row + 2]
            length = end - start
            assert list(batch.attention_mask[i]) == [1] * length + [0] * (batch.input_ids.shape[1] - length)
            assert (batch.input_ids[i, :length] == table.tokens[start:end]).all()
            assert (batch.token_type_ids[i, :length] == table.segments[start:end]).all()
            assert not batch.input_ids[i, length:].any() and not batch.token_type_ids[i, length:].any()
            assert batch.labels[i] == table.labels[row]


def test_the_order_is_a_function_of_seed_and_epoch():
    batches = batches_of(table_of(lengths_like_sst2(500)))
    first, again, second = ([b.rows.tolist() for b in batches.epoch(e)] for e in (0, 0, 1))
    assert first == again != second
    assert [b.rows.tolist() for b in batches.epoch(1, skip=3)] == second[3:]
    other = BucketDataLoader(batches.dataset, 32, batches.buckets, True, seed=6)
    assert [b.rows.tolist() for b in other.epoch(0)] != first
    assert first[0] != sorted(first[0])
    # Batches of the buckets come mixed, not one bucket after another.
    lengths = [b.input_ids.shape[1] for b in batches.epoch(0)]
    assert lengths != sorted(lengths)


def test_unshuffled_rows_stay_in_file_order():
    batches = batches_of(table_of(lengths_like_sst2(500)), shuffle=False)
    by_length = {}
    for batch in batches.epoch(3):
        by_length.setdefault(batch.input_ids.shape[1], []).extend(batch.rows[batch.weights > 0])
    assert all(rows == sorted(rows) for rows in by_length.values())


def test_misfits_are_refused():
    table = table_of([5, 20])
    with pytest.raises(UserError, match="20 tokens, more than the longest bucket, 16"):
        BucketDataLoader(table, 2, [8, 16], True, 0)
    with pytest.raises(UserError, match="batch_size 0"):
        BucketDataLoader(table, 0, [24], True, 0)
    with pytest.raises(UserError, match="no row"):
        BucketDataLoader(table.take([]), 2, [24], True, 0)


def test_rows_without_labels_and_scores():
    table = table_of([5, 6, 7])
    table.labels = None
    assert next(batches_of(table, 4).epoch(0)).labels.tolist() == [0, 0, 0, 0]
    table.labels = np.array([1.5, 2, 3], np.float32)
    batch = next(batches_of(table, 4).epoch(0))
    assert batch.labels.dtype == np.float32 and batch.labels[0] == table.labels[batch.rows[0]]


def test_take_and_head():
    table = table_of([3, 5, 4])
    taken = table.take([2, 0])
    assert taken.lengths.tolist() == [4, 3] and taken.labels.tolist() == [0, 0]
    assert taken.tokens.tolist() == [*table.tokens[8:12], *table.tokens[:3]]
    assert table.head(2).rows == 2 and table.head(-1) is table and table.head(9) is table


def test_a_vocabulary_beyond_sixteen_bits():
    table = TokenizedDataset.from_flat([1, 70000, 2], [0, 0, 0], [3], None, 8)
    assert table.tokens.dtype == np.int32 and table.padded(np.array([0]), 8)[0][0, 1] == 70000


def test_batches_are_fast():
    table = table_of(lengths_like_sst2(60000))
    batches = batches_of(table)
    start = time.perf_counter()
    assert sum(1 for _ in batches.epoch(0)) == batches.steps_per_epoch
    # 500,000 rows a second on the developers' two cores; the bound leaves room for a busy machine.
    assert table.rows / (time.perf_counter() - start) > 40_000


GRID = [16, 32, 64, 128, 512]


@pytest.mark.parametrize(
    ("lengths", "known", "buckets"),
    [
        ([5, 9, 30], (), [32]),  # three rows do not pay for two graphs
        ([5] * 5000 + [30] * 200, (), [16, 32]),  # these do
        ([5, 9, 30], (16, 32, 512), [16, 32]),  # nothing is longer than the longest row needs
        ([5] * 10, (64,), [64]),  # a graph that exists costs nothing
        ([5] * (COMPILE_TOKENS // 48 + 10), (64,), [16]),  # beyond what a new one costs it has to be made
        ([5, 100], (64,), [64, 128]),
        ([400], (), [512]),
    ],
)
def test_buckets_where_graphs_exist(lengths, known, buckets):
    assert extend_buckets(set(known), lengths, GRID) == buckets
