"""Writes shards sequentially in this process, or in parallel worker processes."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import Any

from ...errors import UserError
from .shard import CorpusJob, write_shard

PARALLELISM = "TOKENIZERS_PARALLELISM"
POLL_SECONDS = 1.0
Show = Callable[[int], None]  # of the bytes of text read so far
# State of a worker process, set by its initializer.
WORKER: dict[str, Any] = {}


class Stopped(Exception):
    """A worker was asked to abandon its shard."""


def write_shards(job: CorpusJob, numbers: list[int], workers: int, show: Show) -> Iterator[tuple[int, dict]]:
    """Write the shards `numbers`; `show(bytes)` is called regularly with the bytes of text read so far.

    Yields (number, metadata) of each finished shard. Raises UserError for malformed text or a killed worker.
    """
    workers = min(workers, len(numbers))
    return _write_parallel(job, numbers, workers, show) if workers > 1 else _write_serial(job, numbers, show)


def _write_serial(job: CorpusJob, numbers: list[int], show: Show) -> Iterator[tuple[int, dict]]:
    done = 0

    def on_read(count: int) -> None:
        nonlocal done
        done += count
        show(done)

    before = os.environ.get(PARALLELISM)
    # One worker uses one core; the tokenizer would use all of them.
    os.environ[PARALLELISM] = "false"
    try:
        for number in numbers:
            yield number, write_shard(job, number, on_read)
    finally:
        os.environ.pop(PARALLELISM) if before is None else os.environ.update({PARALLELISM: before})


def _write_parallel(
    job: CorpusJob, numbers: list[int], workers: int, show: Show
) -> Iterator[tuple[int, dict]]:
    # Spawn instead of fork: the tokenizer and MindSpore have threads.
    context = get_context("spawn")
    done, stop = context.Value("Q", 0), context.Event()
    with ProcessPoolExecutor(workers, context, _init_worker, (job, done, stop)) as pool:
        try:
            # Ctrl+C reaches all processes of a terminal; the workers ignore it and are stopped from here.
            with _blocked(signal.SIGINT, signal.SIGHUP):
                pending = {pool.submit(_write, number): number for number in numbers}
            while pending:
                finished, _ = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
                show(done.value)
                for future in finished:
                    yield pending.pop(future), future.result()
        except BrokenProcessPool:
            raise UserError(
                "a worker process was killed, often because the system ran out of memory; finished shards "
                "are kept: run the same command again with fewer --workers"
            ) from None
        finally:
            # After an error or Ctrl+C, do not wait for unfinished shards.
            stop.set()
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _blocked(*numbers: signal.Signals) -> Iterator[None]:
    """Block signals: child processes started inside never receive them, this one receives them afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _init_worker(job: CorpusJob, done: Synchronized, stop: Event) -> None:
    """Initialize a worker process."""
    os.environ[PARALLELISM] = "false"

    def on_read(count: int) -> None:
        if stop.is_set():
            raise Stopped
        with done.get_lock():
            done.value += count

    WORKER.update(job=job, on_read=on_read)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    # Workers of a killed parent would otherwise wait for work forever.
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _write(number: int) -> dict:
    return write_shard(WORKER["job"], number, WORKER["on_read"])
