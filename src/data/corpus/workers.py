"""Shards made one after another in this process, or side by side in several."""

import contextlib
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process

from ...errors import UserError
from .shard import make_shard

PARALLELISM = "TOKENIZERS_PARALLELISM"
LOOK = 1.0
# What a worker process keeps between its shards; filled when it begins.
WORKER = {}


class Stopped(Exception):
    """A worker was told to leave its shard unfinished."""


def make_shards(job, numbers, workers, show):
    """Make the shards `numbers`; `show(bytes)` is called now and then with the text read so far.

    Yields (number, note) of each when it is finished. Raises UserError for bad text or a killed worker.
    """
    workers = min(workers, len(numbers))
    return _beside_each_other(job, numbers, workers, show) if workers > 1 else _in_turn(job, numbers, show)


def _in_turn(job, numbers, show):
    done = 0

    def report(count):
        nonlocal done
        done += count
        show(done)

    before = os.environ.get(PARALLELISM)
    # One worker is one core: the tokenizer would take them all.
    os.environ[PARALLELISM] = "false"
    try:
        for number in numbers:
            yield number, make_shard(job, number, report)
    finally:
        os.environ.pop(PARALLELISM) if before is None else os.environ.update({PARALLELISM: before})


def _beside_each_other(job, numbers, workers, show):
    # Spawned, not forked: the tokenizer and mindspore have threads.
    context = get_context("spawn")
    done, stop = context.Value("Q", 0), context.Event()
    with ProcessPoolExecutor(workers, context, _begin, (job, done, stop)) as pool:
        try:
            # Ctrl+C reaches all processes of a terminal; this one then says when to stop.
            with _blocked(signal.SIGINT):
                waiting = {pool.submit(_make, number): number for number in numbers}
            while waiting:
                finished, _ = wait(waiting, LOOK, FIRST_COMPLETED)
                show(done.value)
                for future in finished:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool:
            raise UserError(
                "a worker process was killed, often by the system for want of memory; the shards "
                "that are finished are kept: give the same command again, with fewer --workers"
            ) from None
        finally:
            # After an error or Ctrl+C: nobody is to finish a shard of some hundred megabytes first.
            stop.set()
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _blocked(number):
    """Processes that start inside never see the signal; here it waits for the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(job, done, stop):
    """In a new worker process."""
    os.environ[PARALLELISM] = "false"

    def report(count):
        if stop.is_set():
            raise Stopped
        with done.get_lock():
            done.value += count

    WORKER.update(job=job, report=report)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    # A parent that is killed cannot tell its workers, who would wait for work for ever.
    connection.wait([parent_process().sentinel])
    os._exit(1)


def _make(number):
    return make_shard(WORKER["job"], number, WORKER["report"])
