"""MindRecord files: a file and its index `<file>.db`, which can be moved together but not renamed."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...signals import interruptible

READ_BATCH = 1024
# Bytes. With the default 32 MB pages, six hundred short rows make a file of 50 MB.
PAGE_SIZE, HEADER_SIZE = 1 << 22, 1 << 22


def index_of(path: str | Path) -> Path:
    """Index file of a MindRecord file."""
    return Path(f"{path}.db")


def write(path: Path, chunks: Iterable[dict[str, np.ndarray]]) -> None:
    """Write chunks {column: array [rows, S] or [rows]} as a file and its index, renamed when complete."""
    from mindspore.mindrecord import FileWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    with interruptible(), tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder:
        # The file contains its own name, so the temporary path differs in the folder only.
        temporary = Path(folder) / path.name
        writer = FileWriter(str(temporary), shard_num=1)
        writer.set_page_size(PAGE_SIZE)
        writer.set_header_size(HEADER_SIZE)
        for number, chunk in enumerate(chunks):
            if number == 0:
                writer.add_schema({name: _field(values) for name, values in chunk.items()}, "token ids")
            rows = zip(*chunk.values(), strict=True)
            writer.write_raw_data([dict(zip(chunk, row, strict=True)) for row in rows])
        writer.commit()
        for source in (index_of(temporary), temporary):
            os.chmod(source, 0o644)
            os.replace(source, path.parent / source.name)


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
