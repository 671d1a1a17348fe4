"""What a teacher said of every row of a table, on disk: usable when whole, and only then.

A cache is a folder named by its key. `rows.bin` holds the rows one after another without padding, `sums.bin`
the CRC-32 of each, `manifest.json` what they are; the folder gets its name last, when all is on the disk.
Until then it is `.<key>.part`, locked by the process that makes it. Files are read by offset and not mapped:
one that was cut short is an error then, not the death of the process.
Shape letters: B batch, S length, H hidden, N heads, C labels; n the real tokens of a row.
"""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import zlib
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import read_json, write_json
from ..output_dir import delete_matching, first_foreign

VERSION = 1
MANIFEST, ROWS, SUMS, LOCK = "manifest.json", "rows.bin", "sums.bin", "lock"
WRITTEN = (MANIFEST, ROWS, SUMS, LOCK)
STORED = np.dtype(np.float16)  # of states and scores
LOGITS = np.dtype(np.float32)  # a few numbers a row: nothing is won by rounding them
SUM = np.dtype("<u4")
KEY_LETTERS = 20


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is kept of a row, in this order: `states` of [n, H], `scores` of [N, n, n], C `logits`.

    `by_token`: C logits of each token, [n, C].
    """

    states: int = 0
    hidden: int = 0
    scores: int = 0
    heads: int = 0
    logits: int = 0
    by_token: bool = False

    @property
    def count(self):
        """Arrays of a batch."""
        return self.states + self.scores + bool(self.logits)

    def sizes(self, lengths):
        """[rows] int64: the bytes of rows of `lengths` tokens."""
        lengths = np.asarray(lengths, np.int64)
        numbers = self.states * self.hidden * lengths + self.scores * self.heads * lengths**2
        return numbers * STORED.itemsize + self.logits * LOGITS.itemsize * (lengths if self.by_token else 1)

    def empty(self, rows, length):
        """Zeros for a batch: states [B, S, H] and scores [B, N, S, S] float16, logits [B, C] float32 (or
        [B, S, C])."""
        states = [np.zeros((rows, length, self.hidden), STORED) for _ in range(self.states)]
        scores = [np.zeros((rows, self.heads, length, length), STORED) for _ in range(self.scores)]
        shape = (rows, length, self.logits) if self.by_token else (rows, self.logits)
        logits = [np.zeros(shape, LOGITS)] if self.logits else []
        return [*states, *scores, *logits]

    def real(self, arrays, place, length):
        """Views of what is real of row `place` in the arrays of a batch, in the order of the file."""
        ends = self.states + self.scores
        yield from (state[place, :length] for state in arrays[: self.states])
        yield from (score[place, :, :length, :length] for score in arrays[self.states : ends])
        yield from (logits[place, :length] if self.by_token else logits[place] for logits in arrays[ends:])


def cache_key(facts):
    """The name of a cache: the digest of what decides its numbers (plain JSON values) and of VERSION."""
    text = json.dumps({"version": VERSION, **facts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LETTERS]


def hash_arrays(arrays):
    """SHA-256 over {name: array}: names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def dataset_hash(table, *more):
    """A digest of the rows of a table, of what the columns `more` hold too ("labels")."""
    columns = {name: getattr(table, name) for name in ("tokens", "segments", "offsets", *more)}
    return hash_arrays({name: array for name, array in columns.items() if array is not None})


class TeacherCache:
    """The cache of one key below the folder `root`; `lengths` are the tokens of the rows.

    `facts` are what the key was made of, and `notes` more words for people; both go into the manifest.
    """

    def __init__(self, root, facts, layout, lengths, notes=None):
        self.key, self.facts, self.notes = cache_key(facts), facts, notes or {}
        self.folder, self.part = Path(root) / self.key, Path(root) / f".{self.key}.part"
        self.layout, self.lengths = layout, np.asarray(lengths, np.int64)
        self.ends = np.cumsum(layout.sizes(self.lengths))
        self.bytes = int(self.ends[-1]) + len(self.ends) * SUM.itemsize

    def is_complete(self):
        """Whether it is there, whole. What is torn counts as absent, and is replaced when it is made anew."""
        try:
            manifest = read_json(self.folder / MANIFEST)
            sums = (self.folder / SUMS).read_bytes()
            size = (self.folder / ROWS).stat().st_size
        except (UserError, OSError):
            return False
        whole = len(sums) == len(self.ends) * SUM.itemsize and size == self.ends[-1]
        return whole and isinstance(manifest, dict) and manifest.get("sums") == zlib.crc32(sums)

    def place(self, row):
        """(first byte, number of bytes) of a row in rows.bin."""
        first = int(self.ends[row - 1]) if row else 0
        return first, int(self.ends[row]) - first


class CacheReader:
    """Reads a complete TeacherCache; from any thread, one at a time."""

    def __init__(self, cache):
        self.cache = cache
        self._rows = open(cache.folder / ROWS, "rb", buffering=0)
        self._sums = np.fromfile(cache.folder / SUMS, SUM)
        self._checked = np.zeros(len(self._sums), bool)

    def batch(self, rows, length):
        """What the teacher said of `rows`, padded with 0 to `length`: arrays as of Layout.empty.

        Raises UserError when a row is not what was written; each is checked the first time it is read.
        """
        layout = self.cache.layout
        arrays = layout.empty(len(rows), length)
        for place, row in enumerate(rows):
            data, first = self._row(int(row)), 0
            for view in layout.real(arrays, place, int(self.cache.lengths[row])):
                view[...] = np.frombuffer(data, view.dtype, view.size, first).reshape(view.shape)
                first += view.nbytes
        return arrays

    def _row(self, row):
        first, size = self.cache.place(row)
        data = os.pread(self._rows.fileno(), size, first)
        if not self._checked[row]:
            if len(data) != size or zlib.crc32(data) != self._sums[row]:
                raise UserError(
                    f"the teacher cache {self.cache.folder} is damaged at row {row}; delete it with python "
                    f"-m src.tools.cache --delete {self.cache.key} --teacher_cache_dir "
                    f"{self.cache.folder.parent} and start the run again with --resume"
                )
            self._checked[row] = True
        return data


class CacheWriter:
    """Writes a TeacherCache, row by row in any order. With several ranks each has one, and rank 0 `leads`.

    Making it raises OSError where there is no room or something foreign, BlockingIOError when another process
    is at it; a rank that does not lead makes its own after rank 0.
    """

    def __init__(self, cache, leads=True):
        self.cache, self.leads, self._lock = cache, leads, None
        if leads:
            foreign = first_foreign(cache.folder, WRITTEN)
            if foreign:  # now, not after the epoch, when a torn cache has to make room
                raise OSError(errno.ENOTEMPTY, f"{cache.folder} holds {foreign}, which is of no cache")
            cache.part.mkdir(parents=True, exist_ok=True)
            self._lock = locked(cache.part)
        self._handles = []
        try:
            # Room for all of it is taken now: a disk that is too small is not found out after hours.
            for name, size in ((ROWS, int(cache.ends[-1])), (SUMS, len(cache.ends) * SUM.itemsize)):
                self._handles.append(_opened(cache.part / name, os.O_CREAT if leads else 0))
                if leads:
                    os.ftruncate(self._handles[-1], 0)
                    os.posix_fallocate(self._handles[-1], 0, size)
        except OSError:
            self.abandon()
            raise

    def write(self, rows, arrays):
        """Write `rows` (pairs of place in the batch and row) from the arrays of a batch as of Layout.empty.

        Raises UserError for numbers that float16 cannot hold.
        """
        for place, row in rows:
            views = self.cache.layout.real(arrays, place, int(self.cache.lengths[row]))
            parts = [np.ascontiguousarray(view) for view in views]
            if not all(np.isfinite(part).all() for part in parts):
                raise UserError(
                    f"the teacher's numbers of row {row} are not finite in float16; add --teacher_cache off"
                )
            data = b"".join(part.data.cast("B") for part in parts)
            os.pwrite(self._handles[0], data, self.cache.place(row)[0])
            os.pwrite(self._handles[1], np.array(zlib.crc32(data), SUM).tobytes(), row * SUM.itemsize)

    def sync(self):
        """Bring what this process wrote to the disk; all ranks have to before rank 0 finishes."""
        for handle in self._handles:
            os.fsync(handle)
            os.close(handle)

    def finish(self):
        """Make the cache complete (rank 0, after `sync`): the manifest, then the folder's name."""
        cache = self.cache
        sums = (cache.part / SUMS).read_bytes()
        facts = {"version": VERSION, "facts": cache.facts, "notes": cache.notes, "rows": len(cache.ends)}
        write_json(cache.part / MANIFEST, {**facts, "bytes": cache.bytes, "sums": zlib.crc32(sums)})
        if cache.folder.is_dir():  # it was torn
            delete_matching(cache.folder, WRITTEN)
        (cache.part / LOCK).unlink()
        os.replace(cache.part, cache.folder)
        os.close(self._lock)

    def abandon(self):
        """Leave nothing behind."""
        for handle in self._handles:
            os.close(handle)
        if self.leads:
            with contextlib.suppress(OSError):
                delete_matching(self.cache.part, WRITTEN)
                self.cache.part.rmdir()
            os.close(self._lock)


def locked(folder):
    """The handle of the lock of a folder in the making. Raises BlockingIOError while another has it."""
    handle = _opened(folder / LOCK, os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _opened(path, creating):
    return os.open(path, os.O_RDWR | creating, 0o666)
