"""Inputs of the train step: batches prefetched one by one, or through the device's queue (data sink)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import mindspore as ms
import mindspore.dataset as ds

if TYPE_CHECKING:
    import numpy as np

    from ..data.dataloader import Batch, BucketDataLoader
    from ..distill.cached_teacher import CachedTeacher

COLUMNS = ("input_ids", "token_type_ids", "attention_mask", "labels", "weights")
AHEAD = 2  # batches prefetched


class StepInputs(NamedTuple):
    """One call of the train step: `call(*inputs)` runs `steps` steps over `examples` and real `tokens`.

    `seconds` were spent waiting for data, in the teacher, and copying to the device.
    """

    call: Callable[..., Any]
    inputs: tuple
    steps: int
    examples: int
    tokens: int
    seconds: tuple[float, float, float]


def step_inputs(
    step: Callable[..., Any],
    loader: BucketDataLoader,
    epoch: int,
    skip: int,
    limit: int,
    sink_steps: int = 0,
    cached_teacher: CachedTeacher | None = None,
) -> Iterator[StepInputs]:
    """Yield the calls of an epoch from step `skip` on, at most `limit` steps.

    `sink_steps` 0 feeds each batch from the host; N hands chunks of N batches, all of one length, to the
    device. `cached_teacher` appends its outputs to the columns of each batch.
    """
    left = min(loader.steps_per_epoch - skip, limit)
    sink_total = left // sink_steps * sink_steps if sink_steps else 0
    if sink_total:
        queue = ds.GeneratorDataset(_Source(loader, epoch, skip, sink_total), list(COLUMNS), shuffle=False)
        run_chunk = ms.data_sink(step, queue, sink_size=sink_steps)
        rows = sink_steps * loader.batch_size
        tokens = round(rows * float(loader.dataset.lengths.mean()))
        for _ in range(sink_total // sink_steps):
            yield StepInputs(run_chunk, (), sink_steps, rows, tokens, (0.0, 0.0, 0.0))
    # Without a sink all batches; with one, those that do not fill a chunk.
    rest = prefetch(islice(loader.epoch(epoch, skip=skip + sink_total), left - sink_total))
    yield from _single_steps(step, rest, cached_teacher)


def _single_steps(
    step: Callable[..., Any], batches: Iterable[Batch], cached_teacher: CachedTeacher | None
) -> Iterator[StepInputs]:
    pairs = (
        cached_teacher.batches_with_outputs(batches) if cached_teacher else ((each, ()) for each in batches)
    )
    began, forward_before = time.perf_counter(), _forward_seconds(cached_teacher)
    for batch, outputs in pairs:
        arrived = time.perf_counter()
        columns = [ms.Tensor(column) for column in _columns(batch)]
        copied = time.perf_counter()
        forward = _forward_seconds(cached_teacher) - forward_before
        real = batch.weights > 0
        examples, tokens = int(real.sum()), int(batch.attention_mask[real].sum())
        seconds = (arrived - began - forward, forward, copied - arrived)
        yield StepInputs(step, (*columns, *outputs), 1, examples, tokens, seconds)
        began, forward_before = time.perf_counter(), _forward_seconds(cached_teacher)


def _forward_seconds(cached_teacher: CachedTeacher | None) -> float:
    return cached_teacher.forward_seconds if cached_teacher else 0.0


def prefetch(items: Iterable[Any]) -> Iterator[Any]:
    """Yield the same items, produced by a thread, AHEAD of them in advance."""
    items = iter(items)
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, items, None) for _ in range(AHEAD))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item


def _columns(batch: Batch) -> tuple[np.ndarray, ...]:
    return tuple(getattr(batch, name) for name in COLUMNS)


class _Source:
    """The source of a GeneratorDataset: `count` batches of an epoch from step `skip` on."""

    def __init__(self, loader: BucketDataLoader, epoch: int, skip: int, count: int) -> None:
        self.loader, self.epoch, self.skip, self.count = loader, epoch, skip, count

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        for batch in islice(self.loader.epoch(self.epoch, skip=self.skip), self.count):
            yield _columns(batch)

    def __len__(self) -> int:
        return self.count
