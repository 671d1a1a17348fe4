"""The files of a teacher cache, and the CachedTeacher over them with a teacher that is a NumPy function."""

import dataclasses
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from mindspore import Tensor

from src.data.dataloader import BucketDataLoader
from src.data.dataset import TokenizedDataset
from src.digests import hash_arrays
from src.distill.cached_teacher import CachedTeacher
from src.distill.teacher_cache import (
    MANIFEST,
    ROWS,
    SUMS,
    CacheReader,
    CacheWriter,
    Layout,
    TeacherCache,
    delete_abandoned,
)
from src.errors import UserError

LENGTHS = np.array([3, 7, 4, 8, 5, 2, 6, 3, 8, 4])
LAYOUT = Layout(states=2, hidden=5, scores=1, heads=2, logits=3)
FACTS = {"teacher": "t", "states": [0, 2]}


@pytest.fixture
def table():
    draw = np.random.default_rng(0)
    tokens = draw.integers(5, 90, LENGTHS.sum())
    return TokenizedDataset.from_flat(tokens, tokens * 0, LENGTHS, np.zeros(len(LENGTHS), np.int64), 8)


@pytest.fixture
def cache(tmp_path):
    return TeacherCache(tmp_path, FACTS, LAYOUT, LENGTHS)


def said(ids, mask):
    """What the teacher says: numbers that a token and its place decide. Padding gets rubbish."""
    ids, rubbish = ids.astype(np.float32), np.where(mask, 0, 1e3).astype(np.float32)
    states = [np.sin(ids[..., None] * np.arange(1, 6) + k) + rubbish[..., None] for k in range(2)]
    score = ids[:, None, :, None] / (1 + ids[:, None, None, :]) * np.array([1, -2])[None, :, None, None]
    score = score + rubbish[:, None, :, None] + rubbish[:, None, None, :]
    logits = (ids * mask).sum(1, keepdims=True) * np.array([[1, 0.1, -1]])
    flat = [state.reshape(-1, 5) for state in states]
    return [*(array.astype(np.float16) for array in (*flat, score)), logits.astype(np.float32)]


class NumpyTeacher:
    """Counts the rows of its forward passes."""

    def __init__(self):
        self.rows = 0

    def __call__(self, ids, segments, mask):
        self.rows += len(ids)
        return tuple(Tensor(array) for array in said(ids.asnumpy(), mask.asnumpy()))


def batches_of(table, batch_size=4, **more):
    return BucketDataLoader(table, batch_size, [4, 8], shuffle=True, seed=1, **more)


def epoch_of(cached_teacher, batches, epoch, stop_after=None):
    """Run an epoch as the training loop does; [(batch, arrays of the teacher's outputs)]."""
    cached_teacher.begin(whole=True)
    found = []
    for batch, outputs in cached_teacher.batches_with_outputs(batches.epoch(epoch)):
        found.append((batch, [answer.asnumpy() for answer in outputs]))
        if len(found) == stop_after:
            break
    cached_teacher.end(whole=stop_after is None)
    return found


def test_the_size_of_a_row():
    # 2 states of 5 and 1 score map of 2 heads in 2 bytes each, 3 logits in 4
    assert LAYOUT.sizes([3, 1]).tolist() == [2 * (2 * 3 * 5 + 2 * 9) + 12, 2 * (2 * 5 + 2) + 12]


def test_later_epochs_and_later_runs_read_what_the_first_epoch_heard(cache, table):
    teacher, batches = NumpyTeacher(), batches_of(table)
    cached_teacher = CachedTeacher(teacher, cache, log=lambda text: None)
    first = epoch_of(cached_teacher, batches, 0)
    forward_rows = teacher.rows
    assert not cached_teacher.from_cache and forward_rows == sum(
        len(batch.rows) for batch, _ in first
    ) >= len(LENGTHS)
    reader = CachedTeacher(None, TeacherCache(cache.folder.parent, FACTS, LAYOUT, LENGTHS))
    for reading, order in ((cached_teacher, 1), (reader, 5)):
        found = epoch_of(reading, batches_of(table, 3), order)
        assert reading.from_cache and teacher.rows == forward_rows
        for batch, outputs in found:
            expected = said(batch.input_ids, batch.attention_mask)
            size, real = batch.input_ids.shape, batch.attention_mask.astype(bool)
            for ours, theirs in zip(outputs[:2], expected[:2], strict=True):
                assert ours.dtype == np.float16
                ours, theirs = ours.reshape(*size, -1), theirs.reshape(*size, -1)
                np.testing.assert_array_equal(ours[real], theirs[real])
                assert not ours[~real].any()
            pairs = np.repeat((real[:, :, None] & real[:, None, :])[:, None], 2, 1)
            np.testing.assert_array_equal(outputs[2][pairs], expected[2][pairs])
            assert not outputs[2][~pairs].any()
            np.testing.assert_array_equal(outputs[3], expected[3])


def test_what_a_later_phase_asks_is_written_along(tmp_path, table):
    layers = TeacherCache(tmp_path, FACTS, dataclasses.replace(LAYOUT, logits=0), LENGTHS)
    logits = TeacherCache(tmp_path, {"teacher": "t", "states": []}, Layout(logits=3), LENGTHS)
    cached_teacher = CachedTeacher(NumpyTeacher(), layers, log=lambda text: None, logits_cache=logits)
    for epoch in (0, 1):
        # The student of this phase is told of the layers alone, by the teacher and by the file.
        assert all(len(outputs) == 3 for _, outputs in epoch_of(cached_teacher, batches_of(table), epoch))
    assert cached_teacher.from_cache and logits.is_complete()
    later = CachedTeacher(None, logits)
    for batch, outputs in epoch_of(later, batches_of(table, 3), 5):
        np.testing.assert_array_equal(outputs, said(batch.input_ids, batch.attention_mask)[3:])


def test_only_what_a_later_phase_asks_is_written(tmp_path, table):
    """Where a single epoch of the layers is trained, which nothing reads again."""
    layers = TeacherCache(tmp_path, FACTS, dataclasses.replace(LAYOUT, logits=0), LENGTHS)
    logits = TeacherCache(tmp_path, {"teacher": "t", "states": []}, Layout(logits=3), LENGTHS)
    arguments = {"log": lambda text: None, "logits_cache": logits, "writes": False}
    epoch_of(CachedTeacher(NumpyTeacher(), layers, **arguments), batches_of(table), 0)
    assert logits.is_complete() and [path.name for path in tmp_path.iterdir()] == [logits.folder.name]


def test_an_epoch_that_failed_leaves_nothing(cache, table):
    cached_teacher, batches = CachedTeacher(NumpyTeacher(), cache, log=lambda text: None), batches_of(table)
    cached_teacher.begin(whole=True)
    next(cached_teacher.batches_with_outputs(batches.epoch(0)))
    assert list(cache.folder.parent.iterdir())
    cached_teacher.abandon()
    assert not list(cache.folder.parent.iterdir())


def test_an_epoch_that_was_broken_off_leaves_nothing(cache, table):
    teacher, batches = NumpyTeacher(), batches_of(table)
    cached_teacher = CachedTeacher(teacher, cache, log=lambda text: None)
    epoch_of(cached_teacher, batches, 0, stop_after=2)
    assert not list(cache.folder.parent.iterdir()) and not cache.is_complete()
    # A resumed run begins in the middle: it listens, and writes in its first whole epoch.
    cached_teacher.begin(whole=False)
    assert (
        len(list(cached_teacher.batches_with_outputs(batches.epoch(0, skip=2))))
        == batches.steps_per_epoch - 2
    )
    cached_teacher.end(whole=True)
    assert not cache.is_complete()
    epoch_of(cached_teacher, batches, 1)
    assert cache.is_complete()


def test_a_cache_that_nothing_will_read_is_not_written(cache, table):
    """Outputs are those of a run that writes it."""
    unread = CachedTeacher(NumpyTeacher(), cache, log=lambda text: None, writes=False)
    found = epoch_of(unread, batches_of(table), 0)
    assert not list(cache.folder.parent.iterdir())
    written = epoch_of(CachedTeacher(NumpyTeacher(), cache, log=lambda text: None), batches_of(table), 0)
    for (_, ours), (_, theirs) in zip(found, written, strict=True):
        for output, expected in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(output, expected)


def test_a_run_that_was_killed_leaves_no_usable_cache(cache):
    writer = CacheWriter(cache)
    writer.write([(0, 0)], said_of(cache))
    assert not cache.is_complete()
    with pytest.raises(BlockingIOError):
        CacheWriter(cache)  # the process that makes it is alive
    writer.abandon()
    cache.part.mkdir()  # as a killed process leaves it: no lock is held
    (cache.part / ROWS).write_bytes(b"half")
    CacheWriter(cache).abandon()


def test_what_a_killed_run_left_is_deleted_but_not_what_another_writes(cache, tmp_path):
    alive = CacheWriter(cache)
    dead = tmp_path / ".0123456789abcdef0123.part"
    dead.mkdir()
    for name in (ROWS, SUMS):
        (dead / name).write_bytes(b"half")
    foreign = tmp_path / ".mine.part"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    delete_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([cache.part, foreign])
    alive.abandon()


def said_of(cache, value=1.0):
    arrays = cache.layout.empty(1, 8)
    return [np.full_like(array, value) for array in arrays]


def test_another_run_that_writes_is_left_alone(cache, table):
    remarks, teacher = [], NumpyTeacher()
    writer = CacheWriter(cache)
    cached_teacher = CachedTeacher(teacher, cache, log=remarks.append)
    epoch_of(cached_teacher, batches_of(table), 0)
    assert "another run is writing it" in remarks[0] and not cache.is_complete()
    writer.abandon()


def test_a_disk_without_room_is_no_end(cache, table, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    remarks = []
    monkeypatch.setattr("os.posix_fallocate", full)
    found = epoch_of(CachedTeacher(NumpyTeacher(), cache, log=remarks.append), batches_of(table), 0)
    assert "No space left on device" in remarks[0] and len(found) == batches_of(table).steps_per_epoch
    assert not list(cache.folder.parent.iterdir())


@pytest.fixture
def written(cache, table):
    epoch_of(CachedTeacher(NumpyTeacher(), cache, log=lambda text: None), batches_of(table), 0)
    assert cache.is_complete()
    return cache


@pytest.mark.parametrize("name", [ROWS, SUMS, MANIFEST])
def test_a_torn_file_makes_it_incomplete_and_it_is_made_anew(written, table, name):
    file = written.folder / name
    file.write_bytes(file.read_bytes()[:-3])
    assert not written.is_complete()
    cached_teacher = CachedTeacher(NumpyTeacher(), written, log=lambda text: None)
    epoch_of(cached_teacher, batches_of(table), 0)
    assert written.is_complete() and cached_teacher.teacher.rows


def test_a_changed_row_is_one_sentence(written):
    data = bytearray((written.folder / ROWS).read_bytes())
    data[written.place(4)[0] + 7] ^= 1
    (written.folder / ROWS).write_bytes(data)
    reader = CacheReader(written)
    reader.batch(np.array([3, 5]), 8)
    with pytest.raises(UserError, match=rf"damaged at row 4; delete it with .* --delete {written.key} "):
        reader.batch(np.array([3, 4]), 8)


def test_what_float16_cannot_hold_is_one_sentence(cache):
    writer = CacheWriter(cache)
    with pytest.raises(UserError, match="row 3 are not finite in float16; add --teacher_cache off"):
        writer.write([(0, 3)], said_of(cache, np.inf))
    writer.abandon()


def test_the_last_batch_of_an_epoch_that_the_loop_leaves_there(cache, table):
    def teacher(ids, segments, mask):
        return tuple(Tensor(np.full_like(array, np.inf)) for array in said(ids.asnumpy(), mask.asnumpy()))

    cached_teacher, batches = (
        CachedTeacher(teacher, cache, log=lambda text: None),
        batches_of(table, len(LENGTHS)),
    )
    cached_teacher.begin(whole=True)
    for _ in cached_teacher.batches_with_outputs(batches.epoch(0)):
        break
    with pytest.raises(UserError, match="are not finite in float16; add --teacher_cache off"):
        cached_teacher.end(whole=True)
    assert not cache.is_complete()


def test_keys(tmp_path):
    def key(facts=None, layout=LAYOUT):
        return TeacherCache(tmp_path, {**FACTS, **(facts or {})}, layout, LENGTHS).key

    assert key() == key()
    assert len({key(), key({"teacher": "u"}), key({"states": [0, 1]}), key({"records": "r"})}) == 4


def test_digests_see_names_types_shapes_and_numbers():
    one = np.arange(6, dtype=np.float32)
    others = [{"a": one + 1}, {"b": one}, {"a": one.reshape(2, 3)}, {"a": one.astype(np.float64)}, {}]
    assert hash_arrays({"a": one}) == hash_arrays({"a": one.copy()})
    assert len({hash_arrays(arrays) for arrays in [{"a": one}, *others]}) == 6
    assert hash_arrays({"a": one, "b": one * 2}) == hash_arrays({"b": one * 2, "a": one})


def test_two_ranks_make_and_read_one_cache(cache, table):
    """Two threads stand for two processes; each knows rank 0's decision only once both have called."""
    meeting, shared, results = threading.Barrier(2, timeout=60), SimpleNamespace(wish=None), {}

    def run(rank):
        def broadcast(wish):
            if rank == 0:
                shared.wish = bool(wish)
            meeting.wait()
            wish = shared.wish
            meeting.wait()
            return wish

        cached_teacher = CachedTeacher(NumpyTeacher(), cache, broadcast, rank == 0, lambda text: None)
        batches = batches_of(table, 2, rank=rank, rank_size=2)
        first = epoch_of(cached_teacher, batches, 0)
        forward_rows = cached_teacher.teacher.rows
        second = epoch_of(cached_teacher, batches, 1)
        results[rank] = cached_teacher.from_cache, cached_teacher.teacher.rows == forward_rows, first, second

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 1]
    for from_cache, no_forward, _, second in results.values():
        assert from_cache and no_forward
        for batch, outputs in second:
            np.testing.assert_array_equal(outputs[3], said(batch.input_ids, batch.attention_mask)[3])
