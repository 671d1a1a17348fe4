"""MindRecord files: a file and its index `<file>.db`, which can be moved together but not renamed."""

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...files import move_synced, write_errors
from ...signals import interruptible

READ_BATCH = 1024
# Bytes. With the default 32 MB pages, six hundred short rows make a file of 50 MB.
PAGE_SIZE, HEADER_SIZE = 1 << 22, 1 << 22


def index_of(path: str | Path) -> Path:
    """Index file of a MindRecord file."""
    return Path(f"{path}.db")


def write(path: Path, chunks: Iterable[dict[str, np.ndarray]]) -> None:
    """Write chunks {column: array [rows, S] or [rows]} as a file and its index, renamed when complete.

    Raises WriteError when the disk refuses.
    """
    with interruptible(), write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder:
            # The file contains its own name, so the temporary path differs in the folder only.
            temporary = Path(folder) / path.name
            _write(temporary, chunks)
            for source in (index_of(temporary), temporary):
                os.chmod(source, 0o644)
                move_synced(source, path.parent / source.name)


def _write(path: Path, chunks: Iterable[dict[str, np.ndarray]]) -> None:
    from mindspore.mindrecord import FileWriter

    writer = FileWriter(str(path), shard_num=1)
    writer.set_page_size(PAGE_SIZE)
    writer.set_header_size(HEADER_SIZE)
    for number, chunk in enumerate(_first_row_apart(chunks)):
        if number == 0:
            writer.add_schema({name: _field(values) for name, values in chunk.items()}, "token ids")
        rows = zip(*chunk.values(), strict=True)
        with _framework_errors():
            writer.write_raw_data([dict(zip(chunk, row, strict=True)) for row in rows])
        if not path.stat().st_size:
            raise OSError("nothing was written")
    with _framework_errors():
        writer.commit()


def _first_row_apart(chunks: Iterable[dict[str, np.ndarray]]) -> Iterator[dict[str, np.ndarray]]:
    """The chunks, the first of one row alone.

    The framework does not report a row that it cannot write until it commits the file, and if it was of the
    first call, the second one is a segmentation fault.
    """
    chunks = iter(chunks)
    for first in chunks:
        for part in (slice(1), slice(1, None)):
            if len(next(iter(first.values()))[part]):
                yield {name: values[part] for name, values in first.items()}
        yield from chunks


@contextlib.contextmanager
def _framework_errors() -> Iterator[None]:
    """Turn what the framework raises about the disk into an OSError, without its own lines on stderr."""
    stderr, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    except Exception as error:  # RuntimeError, or a MindRecordException
        if "free disk" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise OSError(error_summary(error)) from error
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


def columns(path: Path) -> list[str]:
    """Column names of the file. Raises UserError when it cannot be opened."""
    import mindspore.dataset as ds

    try:
        return sorted(ds.MindDataset(str(path), shuffle=False).get_col_names())
    except (RuntimeError, ValueError) as error:
        raise UserError(f"{path} is not a readable MindRecord file: {error_summary(error)}") from None


def batches(path: Path, names: Iterable[str]) -> Iterator[dict[str, np.ndarray]]:
    """Iterate over dicts {column: array [<=1024, S] or [<=1024]} in file order."""
    import mindspore.dataset as ds

    rows = ds.MindDataset(str(path), columns_list=list(names), shuffle=False, num_parallel_workers=1)
    return rows.batch(READ_BATCH).create_dict_iterator(num_epochs=1, output_numpy=True)


def error_summary(error: Exception) -> str:
    """First informative line of a mindspore.dataset error message."""
    found = re.search(r"ERROR\]\s*(\S[^\n]*)", str(error))
    return (found.group(1) if found else str(error).split("\n")[0]).strip().rstrip(".")[:200]


def _field(values: np.ndarray) -> dict:
    kind = "float32" if values.dtype.kind == "f" else "int64"
    return {"type": kind, "shape": [values.shape[1]]} if values.ndim > 1 else {"type": kind}
