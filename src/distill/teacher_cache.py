"""A teacher's outputs for every row of a dataset, on disk: usable once complete.

A cache is a folder named by its key. `rows.bin` holds the rows one after another without padding, `sums.bin`
the CRC-32 of each, `manifest.json` their description; the folder is renamed to its key when all is on disk.
Until then it is `.<key>.part`, locked by the process that writes it. Files are read by offset, not mapped: a
truncated one raises an error instead of killing the process.
Shape letters: B batch, S length, H hidden, N heads, C labels; n the real tokens of a row.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..commands import command_line
from ..digests import hash_arrays
from ..errors import UserError
from ..files import locked, move_synced, write_errors, write_json
from ..json_reader import read_json
from ..output_dir import delete_matching, first_foreign
from .relations import RELATIONS

if TYPE_CHECKING:
    from ..config.bert_config import BertConfig
    from ..data.dataset import TokenizedDataset
    from ..stages.training.teacher import Teacher

VERSION = 1
WRITER = "run"  # the note with the output folder of the run that wrote a cache
MANIFEST, ROWS, SUMS = "manifest.json", "rows.bin", "sums.bin"
WRITTEN = (MANIFEST, ROWS, SUMS, "lock")  # earlier versions wrote the last
STORED = np.dtype(np.float16)  # of states and scores
LOGITS = np.dtype(np.float32)  # a few numbers per row: rounding saves nothing
SUM = np.dtype("<u4")
KEY_LETTERS = 20
# Fields of a teacher's config that do not affect its outputs.
SILENT = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "initializer_range",
    "label_separator",
)


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is stored for a row, in this order: `states` of [n, H], `scores` of [N, n, n], C `logits`.

    `by_token`: C logits of each token, [n, C].
    """

    states: int = 0
    hidden: int = 0
    scores: int = 0
    heads: int = 0
    logits: int = 0
    by_token: bool = False

    @property
    def count(self) -> int:
        """Arrays per batch."""
        return self.states + self.scores + bool(self.logits)

    def sizes(self, lengths: np.ndarray) -> np.ndarray:
        """[rows] int64: bytes of rows of `lengths` tokens."""
        lengths = np.asarray(lengths, np.int64)
        numbers = self.states * self.hidden * lengths + self.scores * self.heads * lengths**2
        return numbers * STORED.itemsize + self.logits * LOGITS.itemsize * (lengths if self.by_token else 1)

    def empty(self, rows: int, length: int) -> list[np.ndarray]:
        """Zeros for a batch: states [B, S, H] and scores [B, N, S, S] float16, logits [B, C] float32 (or
        [B, S, C])."""
        states = [np.zeros((rows, length, self.hidden), STORED) for _ in range(self.states)]
        scores = [np.zeros((rows, self.heads, length, length), STORED) for _ in range(self.scores)]
        shape = (rows, length, self.logits) if self.by_token else (rows, self.logits)
        logits = [np.zeros(shape, LOGITS)] if self.logits else []
        return [*states, *scores, *logits]

    def real(self, arrays: Sequence[np.ndarray], place: int, length: int) -> Iterator[np.ndarray]:
        """Views of row `place` without padding in the arrays of a batch, in the order of the file."""
        ends = self.states + self.scores
        yield from (state[place, :length] for state in arrays[: self.states])
        yield from (score[place, :, :length, :length] for score in arrays[self.states : ends])
        yield from (logits[place, :length] if self.by_token else logits[place] for logits in arrays[ends:])


def cache_key(facts: Mapping[str, Any]) -> str:
    """The key of a cache: a hash of all that determines its content (plain JSON values) and of VERSION."""
    text = json.dumps({"version": VERSION, **facts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LETTERS]


def dataset_hash(dataset: TokenizedDataset, *more: str) -> str:
    """A hash of the rows of a dataset, including the columns `more` ("labels")."""
    columns = {name: getattr(dataset, name) for name in ("tokens", "segments", "offsets", *more)}
    return hash_arrays({name: array for name, array in columns.items() if array is not None})


def cache_of(
    root: Path | str,
    teacher: Teacher,
    dataset: TokenizedDataset,
    features: Sequence[str],
    layer_map: Sequence[int],
    run: Path | str = "",
) -> TeacherCache:
    """The TeacherCache below `root` for the teacher outputs that `features` need, written or not.

    `run`, the output folder of a run, is noted in a cache that it writes.
    """
    states = ([0] if "embedding" in features else []) + (list(layer_map) if "hidden" in features else [])
    relations = list(layer_map) if "relation" in features else []
    scores = list(layer_map) if "attention" in features else []
    config = teacher.config
    logits = max(len(config.labels), 1) if "logits" in features else 0
    heads, by_token = config.num_attention_heads, config.by_token and bool(logits)
    # Relations are compared alone; a teacher with pruned heads has narrower queries than hidden states.
    count = len(states) + RELATIONS * len(relations)
    width = config.attention_size if relations else config.hidden_size
    layout = Layout(count, width, len(scores), heads, logits, by_token)
    facts = {
        "teacher": teacher.weights_hash,
        "config": _facts_of(config),
        "records": dataset_hash(dataset),
        "max_seq_length": dataset.max_seq_length,
        "states": states,
        "scores": scores,
        "logits": logits,
        "matmul_precision": teacher.device.precision,
    }
    if teacher.device.product:  # the kernels round the products of dense layers alone, oneDNN all of them
        facts["products"] = "dense layers"
    if relations:
        facts["relations"] = relations
    layers = [("states", states), ("relations", relations), ("scores", scores)]
    content = ", ".join(f"{name} {'/'.join(map(str, each))}" for name, each in layers if each)
    notes = {"of": content or "logits", "teacher": str(teacher.source), WRITER: os.path.realpath(run)}
    return TeacherCache(root, facts, layout, dataset.lengths, notes)


def _facts_of(config: BertConfig) -> dict[str, Any]:
    """The fields that affect the outputs; without pruned heads the key is that of earlier versions."""
    fields = dataclasses.asdict(config)
    left_out = SILENT if config.attention_head_size else (*SILENT, "attention_head_size")
    return {name: value for name, value in fields.items() if name not in left_out}


class TeacherCache:
    """The cache of one key below the folder `root`; `lengths` are the tokens of the rows.

    The key is a hash of `facts`; `notes` are for people. Both go into the manifest.
    """

    def __init__(
        self,
        root: Path | str,
        facts: Mapping[str, Any],
        layout: Layout,
        lengths: np.ndarray,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        self.key, self.facts, self.notes = cache_key(facts), facts, notes or {}
        self.folder, self.part = Path(root) / self.key, Path(root) / f".{self.key}.part"
        self.layout, self.lengths = layout, np.asarray(lengths, np.int64)
        self.ends = np.cumsum(layout.sizes(self.lengths))
        self.bytes = int(self.ends[-1]) + len(self.ends) * SUM.itemsize

    def is_complete(self) -> bool:
        """Whether the cache exists and is intact. A damaged one counts as absent and will be replaced."""
        try:
            manifest = read_json(self.folder / MANIFEST)
            sums = (self.folder / SUMS).read_bytes()
            size = (self.folder / ROWS).stat().st_size
        except (UserError, OSError):
            return False
        whole = len(sums) == len(self.ends) * SUM.itemsize and size == self.ends[-1]
        return whole and isinstance(manifest, dict) and manifest.get("sums") == zlib.crc32(sums)

    def place(self, row: int) -> tuple[int, int]:
        """(first byte, number of bytes) of a row in rows.bin."""
        first = int(self.ends[row - 1]) if row else 0
        return first, int(self.ends[row]) - first


class CacheReader:
    """Reads a complete TeacherCache, from any thread but one at a time."""

    def __init__(self, cache: TeacherCache) -> None:
        self.cache = cache
        self._rows = open(cache.folder / ROWS, "rb", buffering=0)
        self._sums = np.fromfile(cache.folder / SUMS, SUM)
        self._checked = np.zeros(len(self._sums), bool)

    def batch(self, rows: np.ndarray, length: int) -> list[np.ndarray]:
        """The teacher's outputs for `rows`, padded with 0 to `length`: arrays as in Layout.empty.

        Rows are checksummed at their first read; raises UserError for a corrupted one.
        """
        layout = self.cache.layout
        arrays = layout.empty(len(rows), length)
        for place, row in enumerate(rows):
            data, first = self._row(int(row)), 0
            for view in layout.real(arrays, place, int(self.cache.lengths[row])):
                view[...] = np.frombuffer(data, view.dtype, view.size, first).reshape(view.shape)
                first += view.nbytes
        return arrays

    def _row(self, row: int) -> bytes:
        first, size = self.cache.place(row)
        data = os.pread(self._rows.fileno(), size, first)
        if not self._checked[row]:
            if len(data) != size or zlib.crc32(data) != self._sums[row]:
                raise UserError(
                    f"the teacher cache {self.cache.folder} is damaged at row {row}; delete it with "
                    f"{command_line('cache')} --delete {self.cache.key} --teacher_cache_dir "
                    f"{self.cache.folder.parent} and start the run again with --resume"
                )
            self._checked[row] = True
        return data


class CacheWriter:
    """Writes a TeacherCache, row by row in any order. Each rank has one; rank 0 (`is_main`) opens it first.

    The constructor raises OSError where the disk is full or foreign files are in the way, BlockingIOError
    where another process is writing the cache.
    """

    def __init__(self, cache: TeacherCache, is_main: bool = True) -> None:
        self.cache, self.is_main, self._lock = cache, is_main, contextlib.ExitStack()
        if is_main:
            foreign = first_foreign(cache.folder, WRITTEN)
            if foreign:  # fail now, not after the epoch, when a damaged cache has to be replaced
                raise OSError(errno.ENOTEMPTY, f"{cache.folder} holds {foreign}, which no cache wrote")
            cache.part.mkdir(parents=True, exist_ok=True)
            self._lock.enter_context(locked(cache.part))
        self._handles: list[int] = []
        try:
            # Space for all rows is allocated now: a full disk is an error at once, not after hours.
            for name, size in ((ROWS, int(cache.ends[-1])), (SUMS, len(cache.ends) * SUM.itemsize)):
                self._handles.append(_opened(cache.part / name, os.O_CREAT if is_main else 0))
                if is_main:
                    os.ftruncate(self._handles[-1], 0)
                    os.posix_fallocate(self._handles[-1], 0, size)
        except OSError:
            self.abandon()
            raise

    def write(self, rows: Iterable[tuple[int, int]], arrays: Sequence[np.ndarray]) -> None:
        """Write `rows` (pairs of place in the batch and row) from the arrays of a batch as in Layout.empty.

        Raises UserError for values beyond the range of float16.
        """
        for place, row in rows:
            views = self.cache.layout.real(arrays, place, int(self.cache.lengths[row]))
            parts = [np.ascontiguousarray(view) for view in views]
            if not all(np.isfinite(part).all() for part in parts):
                raise UserError(
                    f"the teacher's outputs for row {row} are not finite in float16; add --teacher_cache off"
                )
            data = b"".join(part.data.cast("B") for part in parts)
            with write_errors(self.cache.folder):
                _write_at(self._handles[0], data, self.cache.place(row)[0])
                _write_at(self._handles[1], np.array(zlib.crc32(data), SUM).tobytes(), row * SUM.itemsize)

    def sync(self) -> None:
        """Flush this process's rows to disk, in every rank before rank 0 calls `finish`."""
        with write_errors(self.cache.folder):
            for handle in self._handles:
                os.fsync(handle)
                os.close(handle)

    def finish(self) -> None:
        """Complete the cache (rank 0, after `sync`): write the manifest, then rename the folder."""
        cache = self.cache
        with write_errors(cache.folder):
            sums = (cache.part / SUMS).read_bytes()
        facts = {"version": VERSION, "facts": cache.facts, "notes": cache.notes, "rows": len(cache.ends)}
        write_json(cache.part / MANIFEST, {**facts, "bytes": cache.bytes, "sums": zlib.crc32(sums)})
        if cache.folder.is_dir():  # a damaged one
            delete_matching(cache.folder, WRITTEN)
        move_synced(cache.part, cache.folder)
        self._lock.close()

    def abandon(self) -> None:
        """Delete what was written."""
        for handle in self._handles:
            os.close(handle)
        if self.is_main:
            with contextlib.suppress(OSError):
                delete_matching(self.cache.part, WRITTEN)
                self.cache.part.rmdir()
            self._lock.close()


def delete_abandoned(root: str | Path) -> None:
    """Delete the unfinished caches below `root` that no process is writing: a killed run left them."""
    for part in Path(root).glob(".*.part"):
        with contextlib.suppress(OSError), locked(part):
            delete_matching(part, WRITTEN)
            part.rmdir()


def caches_of(root: str | Path, run: str | Path) -> list[Path]:
    """The complete caches below `root` that the run with the output folder `run` wrote."""
    found, writer = [], os.path.realpath(run)
    for folder in sorted(Path(root).glob("[!.]*")):
        with contextlib.suppress(UserError, OSError, KeyError, TypeError):
            if read_json(folder / MANIFEST)["notes"][WRITER] == writer and not first_foreign(folder, WRITTEN):
                found.append(folder)
    return found


def delete_caches(folders: Iterable[Path]) -> int:
    """Delete caches; returns the bytes freed. A run that reads one goes on: it has the files open."""
    freed = 0
    for folder in folders:
        freed += sum(path.stat().st_size for path in folder.iterdir())
        # The manifest first: a partly deleted folder must not pass for a cache.
        (folder / MANIFEST).unlink(missing_ok=True)
        delete_matching(folder, WRITTEN)
        folder.rmdir()
    return freed


def megabytes(count: float) -> str:
    """A number of bytes as text."""
    return f"{count / 1e6:,.1f} MB"


def _write_at(handle: int, data: bytes, place: int) -> None:
    while data:
        written = os.pwrite(handle, data, place)
        data, place = data[written:], place + written


def _opened(path: Path, creating: int) -> int:
    return os.open(path, os.O_RDWR | creating, 0o666)
