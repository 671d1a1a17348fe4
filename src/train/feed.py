"""Batches into the train step: one by one, or in stretches through the device's queue (data sink)."""
from itertools import islice
from typing import NamedTuple

import mindspore as ms
import mindspore.dataset as ds

COLUMNS = ("input_ids", "token_type_ids", "attention_mask", "labels", "weights")


class Done(NamedTuple):
    """What was run: the last step's result, the number of steps, and the examples and real tokens in them."""

    result: tuple
    steps: int
    examples: int
    tokens: int


def fed_steps(step, batches, epoch, skip, most, sink_steps=0, lesson=None):
    """Run an epoch's batches from step `skip` on, at the most `most` of them.

    `sink_steps` 0 feeds each batch from the host; N hands stretches of N to the device, which needs batches
    of one length. `lesson` gives further columns, as in Phase. Yields a Done after each step or stretch.
    """
    left = min(batches.steps_per_epoch - skip, most)
    sunk = left // sink_steps * sink_steps if sink_steps else 0
    if sunk:
        queue = ds.GeneratorDataset(_Source(batches, epoch, skip, sunk), list(COLUMNS), shuffle=False)
        run_stretch = ms.data_sink(step, queue, sink_size=sink_steps)
        rows = sink_steps * batches.batch_size
        tokens = round(rows * float(batches.table.lengths.mean()))
        for _ in range(sunk // sink_steps):
            yield Done(run_stretch(), sink_steps, rows, tokens)
    # Without a sink all of them; with one, those that fill no whole stretch.
    rest = islice(batches.epoch(epoch, skip=skip + sunk), left - sunk)
    for batch, answers in lesson.answered(rest) if lesson else ((batch, ()) for batch in rest):
        columns = [ms.Tensor(column) for column in _columns(batch)]
        real = batch.weights > 0
        result = step(*columns, *answers)
        yield Done(result, 1, int(real.sum()), int(batch.attention_mask[real].sum()))


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
