"""GloVe's text files (Pennington et al. 2014): read once, then memory-mapped from a copy in binary form.

V words, D numbers each.
"""

import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...errors import UserError
from ...files import atomic_path, read_json, write_json, write_text
from .neighbors import WordTable, is_candidate

VECTORS, WORDS, NOTE = ".vectors.npy", ".words.txt", ".vectors.json"


def load_glove(path, spare_folder):
    """The WordTable of a GloVe text file, its vectors memory-mapped.

    The first reading writes the binary copy beside the file, or into `spare_folder` where that place cannot
    be written; later ones take it for as long as the text file keeps its size and time. Raises UserError for
    a file that is none, with its line.
    """
    path, stamp = Path(path), stamp_of(path)
    folders = [path.parent, Path(spare_folder)]
    for folder in folders:
        copy = folder / path.name
        whole = all(_with(copy, suffix).is_file() for suffix in (VECTORS, WORDS, NOTE))
        if whole and read_json(_with(copy, NOTE)) == stamp:
            return _open(copy)
    folder = folders[0] if os.access(folders[0], os.W_OK) else folders[1]
    copy = folder / path.name
    _convert(path, copy)
    write_json(_with(copy, NOTE), stamp)
    return _open(copy)


def stamp_of(path):
    """Size and time of a file: what tells it from another, where its bytes are too many to read again."""
    status = Path(path).stat()
    return {"bytes": status.st_size, "modified": status.st_mtime_ns}


def _with(path, suffix):
    return path.with_name(path.name + suffix)


def _open(copy):
    words = _with(copy, WORDS).read_text(encoding="utf-8").split("\n")
    return WordTable(words, np.load(_with(copy, VECTORS), mmap_mode="r", allow_pickle=False))


def _convert(path, copy):
    """Write the words that can be candidates, one for all its spellings, and their unit vectors."""
    words = {}
    with atomic_path(_with(copy, VECTORS)) as temporary:
        with open(temporary, "wb") as file:
            for number, word, fields in _rows(path):
                key = word.lower()
                # The file goes from frequent to rare: of "movie", "Movie" and "MOVIE" the first counts.
                if key in words or not is_candidate(word):
                    continue
                if not words:
                    start = _header(file, 0, len(fields))
                words[key] = None
                file.write(_unit(fields, path, number).tobytes())
            if not words:
                raise UserError(f"{path} holds no word that could take another's place")
            file.seek(0)
            # NumPy leaves room in the header for the count to grow.
            if _header(file, len(words), len(fields)) != start:
                raise UserError(f"{_with(copy, VECTORS)}: the header of the copy does not fit")
    write_text(_with(copy, WORDS), "\n".join(words))


def _header(file, rows, width):
    described = {"descr": "<f4", "fortran_order": False, "shape": (rows, width)}
    np.lib.format.write_array_header_1_0(file, described)
    return file.tell()


def _rows(path):
    """(line number, word, its D numbers as text) of each line; the first may be word2vec's two counts."""
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
                    f"{path}, line {number}: {len(fields) - 1} numbers after the word where {max(width, 2)} "
                    "belong; a GloVe file has a word and its vector on each line"
                )
            # A few words of the large files hold blanks.
            yield number, " ".join(fields[:-width]), fields[-width:]


def _unit(fields, path, number):
    """A vector as text -> [D] float32 of length 1."""
    try:
        vector = np.array(fields, np.float32)
    except ValueError:
        raise UserError(f"{path}, line {number}: not a word and {len(fields)} numbers") from None
    length = np.sqrt(vector @ vector)
    if not np.isfinite(length):
        raise UserError(f"{path}, line {number}: the vector holds a number that is not finite")
    return (vector / (length or 1)).astype("<f4")
