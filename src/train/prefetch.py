"""Batches into the train step: one by one, or in stretches through the device's queue (data sink)."""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from typing import NamedTuple

import mindspore as ms
import mindspore.dataset as ds

COLUMNS = ("input_ids", "token_type_ids", "attention_mask", "labels", "weights")
AHEAD = 2  # batches made before they are asked for


class StepResult(NamedTuple):
    """What was run: the last step's result, the number of steps, and the examples and real tokens in them.

    `seconds` were spent waiting for data, asking the teacher, taking both to the device, and in the step.
    """

    result: tuple
    steps: int
    examples: int
    tokens: int
    seconds: tuple


def run_steps(step, batches, epoch, skip, most, sink_steps=0, lesson=None):
    """Run an epoch's batches from step `skip` on, at the most `most` of them.

    `sink_steps` 0 feeds each batch from the host; N hands stretches of N to the device, which needs batches
    of one length. `lesson` gives further columns, as in TrainPhase. Yields a StepResult each time.
    """
    left = min(batches.steps_per_epoch - skip, most)
    sunk = left // sink_steps * sink_steps if sink_steps else 0
    if sunk:
        queue = ds.GeneratorDataset(_Source(batches, epoch, skip, sunk), list(COLUMNS), shuffle=False)
        run_stretch = ms.data_sink(step, queue, sink_size=sink_steps)
        rows = sink_steps * batches.batch_size
        tokens = round(rows * float(batches.table.lengths.mean()))
        for _ in range(sunk // sink_steps):
            began = time.perf_counter()
            result = run_stretch()
            yield StepResult(result, sink_steps, rows, tokens, (0.0, 0.0, 0.0, time.perf_counter() - began))
    # Without a sink all of them; with one, those that fill no whole stretch.
    rest = prefetch(islice(batches.epoch(epoch, skip=skip + sunk), left - sunk))
    yield from _one_by_one(step, rest, lesson)


def _one_by_one(step, batches, lesson):
    pairs = lesson.answered(batches) if lesson else ((batch, ()) for batch in batches)
    times = [time.perf_counter()]
    asked = lesson.asked if lesson else 0.0
    for batch, answers in pairs:
        times.append(time.perf_counter())
        columns = [ms.Tensor(column) for column in _columns(batch)]
        times.append(time.perf_counter())
        result = step(*columns, *answers)
        times.append(time.perf_counter())
        waited, moved, stepped = (end - begin for begin, end in pairwise(times))
        teacher = lesson.asked - asked if lesson else 0.0
        real = batch.weights > 0
        counts = int(real.sum()), int(batch.attention_mask[real].sum())
        yield StepResult(result, 1, *counts, (waited - teacher, teacher, moved, stepped))
        times, asked = [time.perf_counter()], lesson.asked if lesson else 0.0


def prefetch(items):
    """The same items, made by a thread, up to AHEAD of them before they are asked for."""
    items = iter(items)
    with ThreadPoolExecutor(1) as pool:
        waiting = deque(pool.submit(next, items, None) for _ in range(AHEAD))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item


def _columns(batch):
    return tuple(getattr(batch, name) for name in COLUMNS)


class _Source:
    """What GeneratorDataset iterates over: the first `count` batches from `skip` on."""

    def __init__(self, batches, epoch, skip, count):
        self.arguments, self.count = (batches, epoch, skip), count

    def __iter__(self):
        batches, epoch, skip = self.arguments
        for _, batch in zip(range(self.count), batches.epoch(epoch, skip=skip), strict=False):
            yield _columns(batch)

    def __len__(self):
        return self.count
