"""GloVe text files (Pennington et al. 2014), converted once to a memory-mapped binary copy.

V words, D dimensions.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from ...errors import UserError
from ...files import atomic_path, write_json, write_text
from ...json_reader import read_json
from .neighbors import WordTable, is_candidate

VECTORS, WORDS, STAMP = ".vectors.npy", ".words.txt", ".vectors.json"


def load_glove(path: str | Path, fallback_folder: str | Path) -> WordTable:
    """Load a GloVe text file as a WordTable with memory-mapped vectors.

    The first call writes the binary copy to the folder of the file, or to `fallback_folder` if that is not
    writable; later calls use it as long as size and modification time of the text file are unchanged. Raises
    UserError, with the line, for an invalid file.
    """
    path, stamp = Path(path), file_stamp(path)
    folders = [path.parent, Path(fallback_folder)]
    for folder in folders:
        copy = folder / path.name
        complete = all(_with(copy, suffix).is_file() for suffix in (VECTORS, WORDS, STAMP))
        if complete and read_json(_with(copy, STAMP)) == stamp:
            return _open(copy)
    folder = folders[0] if os.access(folders[0], os.W_OK) else folders[1]
    copy = folder / path.name
    _convert(path, copy)
    write_json(_with(copy, STAMP), stamp)
    return _open(copy)


def file_stamp(path: str | Path) -> dict[str, int]:
    """Size and modification time, which identify a file too large to hash."""
    status = Path(path).stat()
    return {"bytes": status.st_size, "modified": status.st_mtime_ns}


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _open(copy: Path) -> WordTable:
    words = _with(copy, WORDS).read_text(encoding="utf-8").split("\n")
    return WordTable(words, np.load(_with(copy, VECTORS), mmap_mode="r", allow_pickle=False))


def _convert(path: Path, copy: Path) -> None:
    """Write the words that can be candidates, one of each spelling, and their unit vectors."""
    words: dict[str, None] = {}
    with atomic_path(_with(copy, VECTORS)) as temporary:
        with open(temporary, "wb") as file:
            for number, word, fields in _rows(path):
                key = word.lower()
                # Sorted by frequency: the first of "movie", "Movie" and "MOVIE" is the most frequent.
                if key in words or not is_candidate(word):
                    continue
                if not words:
                    start = _header(file, 0, len(fields))
                words[key] = None
                file.write(_unit(fields, path, number).tobytes())
            if not words:
                raise UserError(f"{path} holds no word that can replace another")
            file.seek(0)
            # NumPy pads the header so that the count can grow.
            if _header(file, len(words), len(fields)) != start:
                raise UserError(f"{_with(copy, VECTORS)}: the header of the binary copy has another size")
    write_text(_with(copy, WORDS), "\n".join(words))


def _header(file: BinaryIO, rows: int, width: int) -> int:
    described = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(file, described)
    return file.tell()


def _rows(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """(line number, word, its D numbers as text) of each line, without word2vec's header."""
    width = 0
    size = path.stat().st_size
    with (
        open(path, "rb") as file,
        tqdm(total=size, desc=path.name, unit="B", unit_scale=True, disable=None, leave=False) as bar,
    ):
        for number, line in enumerate(file, 1):
            bar.update(len(line))
            fields = line.decode("utf-8", errors="replace").rstrip().split(" ")
            if number == 1 and len(fields) == 2:
                continue
            width = width or len(fields) - 1
            if width < 2 or len(fields) <= width:
                raise UserError(
                    f"{path}, line {number}: {len(fields) - 1} numbers after the word instead of "
                    f"{max(width, 2)}; a GloVe file has a word and its vector on each line"
                )
            # Some words of the large files contain spaces.
            yield number, " ".join(fields[:-width]), fields[-width:]


def _unit(fields: list[str], path: Path, number: int) -> np.ndarray:
    """Parse a vector and normalize it to unit length, [D] float32."""
    try:
        vector = np.array(fields, np.float32)
    except ValueError:
        raise UserError(f"{path}, line {number}: not a word and {len(fields)} numbers") from None
    length = np.sqrt(vector @ vector)
    if not np.isfinite(length):
        raise UserError(f"{path}, line {number}: the vector has a non-finite number")
    return (vector / (length or 1)).astype("<f4")
