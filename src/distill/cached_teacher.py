"""A teacher outside the train step: it answers each row once, and later epochs read what it said.

Shape letters: B batch, S length, H hidden, N heads, C labels.
"""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import mindspore as ms
from mindspore import Tensor, nn

from ..errors import UserError
from .network import TeacherOutputs
from .teacher_cache import CacheReader, CacheWriter

AHEAD = 2  # batches read, or waiting to be written, beside the one that is trained on


class TeacherForward(nn.Cell):
    """A frozen teacher with those of its outputs that an objective asks for, rounded as a cache keeps them.

    Construct: input_ids, token_type_ids, attention_mask [B, S] int32 -> states [B*S, H] and scores
    [B, N, S, S] float16, logits [B, C] float32.
    """

    def __init__(self, teacher, features, layer_map):
        super().__init__(auto_prefix=False)
        self.teacher = teacher
        self.answers = TeacherOutputs(features, layer_map, ms.float16)

    def construct(self, input_ids, token_type_ids, attention_mask):
        return self.answers(*self.teacher(input_ids, token_type_ids, attention_mask))


class CachedTeacher:
    """Gives each batch the teacher's answers, as a DistillNetwork without a teacher takes them.

    Until the cache is complete the teacher answers; an epoch that it answers whole completes the cache. The
    answers are rounded as the cache keeps them, so that it makes no difference where they come from.
    `agreed(wish of rank 0)` makes all ranks do the same; `leads` on rank 0; `log` is the log callback.
    `aside` is a cache of what the teacher says beyond that, for a later phase: written along with the first.
    `waited` and `asked` are the seconds spent reading (in this epoch) and asking the teacher.
    """

    def __init__(self, teacher, cache, agreed=bool, leads=True, log=print, aside=None):
        self.teacher, self.cache, self.aside = teacher, cache, aside
        self._agreed, self._leads, self._say = agreed, leads, log
        self._reader, self._writers, self._behind = None, [], deque()
        self.waited = self.asked = 0.0

    @property
    def reads(self):
        """Whether this epoch's answers come from the cache."""
        return self._reader is not None

    def begin(self, whole):
        """An epoch begins, at its first step if `whole`."""
        self.waited = 0.0
        if not self.reads and self._agreed(self.cache.is_complete()):
            self._reader = _shared(CacheReader, self.cache)
        if not self.reads and whole:
            caches = [self.cache]
            if self.aside and not self._agreed(self.aside.is_complete()):
                caches.append(self.aside)
            self._writers = [writer for writer in map(self._make_writer, caches) if writer]

    def _make_writer(self, cache):
        writer = None
        if self._leads:
            try:
                writer = CacheWriter(cache)
            except BlockingIOError:
                self._say(f"teacher cache {cache.key}: another run is writing it; this epoch does not")
            except OSError as error:
                self._say(
                    f"teacher cache: {cache.part} cannot be written ({error.strerror}); the teacher goes on "
                    "answering"
                )
        if not self._agreed(writer is not None):
            return None
        return writer or _shared(lambda cache: CacheWriter(cache, leads=False), cache)

    def end(self, whole):
        """The epoch ended, with its last step if `whole`; what it wrote is kept or abandoned accordingly."""
        writers, self._writers = self._writers, []
        while self._behind:
            self._behind.popleft().result()
        for writer in writers:
            if not whole:
                writer.abandon()
                continue
            writer.sync()
            self._agreed(True)  # every rank's rows are on the disk
            if self._leads:
                writer.finish()
                self._say(f"teacher cache {writer.cache.key}: written, {writer.cache.bytes / 1e9:.3g} GB")
            self._agreed(True)  # and now they have their name

    def answered(self, batches):
        """(batch, tensors of its answers) of each of `batches`."""
        return self._read(batches) if self.reads else self._ask(batches)

    def _read(self, batches):
        # A thread reads ahead: the step waits only for what is slower to read than to learn.
        with ThreadPoolExecutor(1) as pool:
            ahead = deque()
            for batch in batches:
                length = batch.input_ids.shape[1]
                ahead.append((batch, pool.submit(self._reader.batch, batch.rows, length)))
                if len(ahead) > AHEAD:
                    yield self._next(ahead)
            while ahead:
                yield self._next(ahead)

    def _next(self, ahead):
        batch, future = ahead.popleft()
        began = time.perf_counter()
        arrays = future.result()
        self.waited += time.perf_counter() - began
        return batch, tuple(Tensor.from_numpy(array) for array in self._as_answers(arrays))

    def _as_answers(self, arrays):
        states = self.cache.layout.states
        return [a.reshape(-1, a.shape[-1]) for a in arrays[:states]] + arrays[states:]

    def _ask(self, batches):
        with ThreadPoolExecutor(1) as pool:
            for batch in batches:
                columns = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
                began = time.perf_counter()
                answers = self.teacher(*map(Tensor, columns))
                self.asked += time.perf_counter() - began
                if self._writers:
                    # The loop leaves an epoch at its last batch: `end` hears whether the last ones failed.
                    self._behind.append(pool.submit(self._write, batch, answers))
                    if len(self._behind) > AHEAD:
                        self._behind.popleft().result()
                yield batch, answers[: self.cache.layout.count]

    def _write(self, batch, answers):
        arrays, layout = [answer.asnumpy() for answer in answers], self.cache.layout
        shape = (*batch.input_ids.shape, -1)
        arrays = [array.reshape(shape) for array in arrays[: layout.states]] + arrays[layout.states :]
        # A row of weight 0 is another batch's, and its number perhaps another rank's to write.
        rows = [(place, int(row)) for place, row in enumerate(batch.rows) if batch.weights[place] > 0]
        for writer in self._writers:
            own = slice(layout.count, None) if writer.cache is self.aside else slice(layout.count)
            writer.write(rows, arrays[own])


def _shared(opener, cache):
    try:
        return opener(cache)
    except FileNotFoundError:
        raise UserError(
            f"the teacher cache {cache.folder} is seen by rank 0 but not by this one; give "
            "--teacher_cache_dir a folder that all machines share, or add --teacher_cache off"
        ) from None
