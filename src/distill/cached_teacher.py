"""A teacher outside the train step: one forward pass per row, later epochs read its outputs from disk.

Shape letters: B batch, S length, H hidden, N heads, C labels.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ..errors import UserError
from .network import LOGITS_FEATURES, TeacherOutputs
from .teacher_cache import CacheReader, CacheWriter, TeacherCache, megabytes

if TYPE_CHECKING:
    from ..data.dataloader import Batch

AHEAD = 2  # batches read in advance, or waiting to be written
WithOutputs = tuple["Batch", tuple[Tensor, ...]]


class TeacherForward(nn.Cell):
    """A frozen teacher with the outputs that an objective needs, rounded as in a cache.

    Construct: input_ids, token_type_ids, attention_mask [B, S] int32 -> states [B*S, H] and scores
    [B, N, S, S] float16, logits [B, C] float32.
    """

    def __init__(self, teacher: nn.Cell, features: Sequence[str], layer_map: Sequence[int]) -> None:
        super().__init__(auto_prefix=False)
        self.teacher, self.layer_map, self.relates = teacher, tuple(layer_map), "relation" in features
        self.logits_only = LOGITS_FEATURES.issuperset(features)
        self.outputs = TeacherOutputs(features, layer_map, ms.float16)

    def construct(
        self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor
    ) -> tuple[Tensor, ...]:
        columns: tuple = (input_ids, token_type_ids, attention_mask)
        if self.logits_only:
            columns = columns + (True,)
        outputs = self.teacher(*columns)
        if self.relates:
            outputs = outputs + (self.teacher.bert.relation_states(outputs[1], self.layer_map[0]),)
        return self.outputs(*outputs)


class CachedTeacher:
    """Adds the teacher's outputs to each batch, as a DistillNetwork without a teacher takes them.

    Until the cache is complete the teacher computes them; a whole epoch of it completes the cache. They are
    rounded as in the cache, so their source makes no difference. `broadcast` turns rank 0's decision into
    that of all ranks; `is_main` is true on rank 0; `log` is the log callback. `logits_cache` is written in
    the same epoch, for a later phase over the same rows; without `writes` the first cache is not.
    `read_seconds` (of this epoch) and `forward_seconds` are the time spent reading and in the teacher.
    """

    def __init__(
        self,
        teacher: Callable[..., tuple[Tensor, ...]],
        cache: TeacherCache,
        broadcast: Callable[[Any], bool] = bool,
        is_main: bool = True,
        log: Callable[[str], None] = print,
        logits_cache: TeacherCache | None = None,
        writes: bool = True,
    ) -> None:
        self.teacher, self.cache, self.logits_cache, self.writes = teacher, cache, logits_cache, writes
        self._broadcast, self._is_main, self._log = broadcast, is_main, log
        self._reader: CacheReader | None = None
        self._writers: list[CacheWriter] = []
        self._pending: deque[Future] = deque()
        self.read_seconds = self.forward_seconds = 0.0

    @property
    def from_cache(self) -> bool:
        """Whether the outputs of this epoch are read from the cache."""
        return self._reader is not None

    def begin(self, whole: bool) -> None:
        """Start an epoch, at its first step if `whole`."""
        self.read_seconds = 0.0
        if not self.from_cache and self._broadcast(self.cache.is_complete()):
            self._reader = _shared(CacheReader, self.cache)
        if not self.from_cache and whole:
            caches = [self.cache] if self.writes else []
            if self.logits_cache and not self._broadcast(self.logits_cache.is_complete()):
                caches.append(self.logits_cache)
            self._writers = [writer for writer in map(self._open_writer, caches) if writer]

    def _open_writer(self, cache: TeacherCache) -> CacheWriter | None:
        writer = None
        if self._is_main:
            try:
                writer = CacheWriter(cache)
            except BlockingIOError:
                self._log(f"teacher cache {cache.key}: another run is writing it; this epoch does not")
            except OSError as error:
                self._log(
                    f"teacher cache: cannot write {cache.part} ({error.strerror}); the teacher runs in every "
                    "step"
                )
        if not self._broadcast(writer is not None):
            return None
        return writer or _shared(lambda cache: CacheWriter(cache, is_main=False), cache)

    def end(self, whole: bool) -> None:
        """End an epoch, after its last step if `whole`: a complete cache is kept, a partial one discarded."""
        while self._pending:
            self._pending.popleft().result()
        writers, self._writers = self._writers, []
        for writer in writers:
            if not whole:
                writer.abandon()
                continue
            writer.sync()
            self._broadcast(True)  # every rank's rows are on disk
            if self._is_main:
                writer.finish()
                self._log(f"teacher cache {writer.cache.key}: written, {megabytes(writer.cache.bytes)}")
            self._broadcast(True)  # the folder has its final name

    def abandon(self) -> None:
        """Discard what an epoch that failed has written."""
        wait(self._pending)
        self._pending.clear()
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.abandon()

    def batches_with_outputs(self, batches: Iterable[Batch]) -> Iterator[WithOutputs]:
        """Yield (batch, tensors of the teacher's outputs)."""
        return self._read(self._reader, batches) if self._reader else self._forward(batches)

    def _read(self, reader: CacheReader, batches: Iterable[Batch]) -> Iterator[WithOutputs]:
        # A thread reads ahead: a step waits only where reading takes longer than training.
        with ThreadPoolExecutor(1) as pool:
            ahead: deque[tuple[Batch, Future]] = deque()
            for batch in batches:
                length = batch.input_ids.shape[1]
                ahead.append((batch, pool.submit(reader.batch, batch.rows, length)))
                if len(ahead) > AHEAD:
                    yield self._next(ahead)
            while ahead:
                yield self._next(ahead)

    def _next(self, ahead: deque[tuple[Batch, Future]]) -> WithOutputs:
        batch, future = ahead.popleft()
        began = time.perf_counter()
        arrays = future.result()
        self.read_seconds += time.perf_counter() - began
        states = self.cache.layout.states
        flat = [array.reshape(-1, array.shape[-1]) for array in arrays[:states]] + arrays[states:]
        return batch, tuple(Tensor.from_numpy(array) for array in flat)

    def _forward(self, batches: Iterable[Batch]) -> Iterator[WithOutputs]:
        with ThreadPoolExecutor(1) as pool:
            for batch in batches:
                columns = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
                began = time.perf_counter()
                outputs = self.teacher(*map(Tensor, columns))
                self.forward_seconds += time.perf_counter() - began
                if self._writers:
                    # The loop leaves an epoch at its last batch: `end` raises what failed for the last ones.
                    self._pending.append(pool.submit(self._write, batch, outputs))
                    if len(self._pending) > AHEAD:
                        self._pending.popleft().result()
                yield batch, outputs[: self.cache.layout.count]

    def _write(self, batch: Batch, outputs: Sequence[Tensor]) -> None:
        layout = self.cache.layout
        arrays: list[np.ndarray] = [output.asnumpy() for output in outputs]
        shape = (*batch.input_ids.shape, -1)
        arrays = [array.reshape(shape) for array in arrays[: layout.states]] + arrays[layout.states :]
        # A row of weight 0 belongs to another batch, and may be another rank's to write.
        rows = [(place, int(row)) for place, row in enumerate(batch.rows) if batch.weights[place] > 0]
        for writer in self._writers:
            own = slice(layout.count, None) if writer.cache is self.logits_cache else slice(layout.count)
            writer.write(rows, arrays[own])


def _shared(opener: Callable[[TeacherCache], Any], cache: TeacherCache) -> Any:
    try:
        return opener(cache)
    except FileNotFoundError:
        raise UserError(
            f"rank 0 sees the teacher cache {cache.folder}, this rank does not; give --teacher_cache_dir a "
            "folder that all machines share, or add --teacher_cache off"
        ) from None
