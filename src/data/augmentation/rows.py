"""Serialization and deduplication of augmented rows."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence

import numpy as np

from ..text.examples import ExampleFile
from ..text.tabular import COMMA, HALF_CHARACTER, OBJECTS


def row_line(values: Sequence[str], header: Sequence[str], suffix: str) -> str:
    """Format a row as a line of TSV, CSV or JSON Lines, by suffix, with a newline."""
    if suffix in OBJECTS:
        # A lone surrogate, in a column that is not used, can be written as an escape only.
        escaped = any(map(HALF_CHARACTER.search, (*header, *values)))
        return json.dumps(dict(zip(header, values, strict=True)), ensure_ascii=escaped) + "\n"
    if suffix == COMMA:
        text = io.StringIO()
        # By default the writer does not quote a lone carriage return, which the reader rejects.
        quote_all = any("\r" in value for value in values)
        writer = csv.writer(
            text, lineterminator="\n", quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
        )
        writer.writerow(values)
        return text.getvalue()
    return "\t".join(values) + "\n"


def header_lines(source: ExampleFile) -> list[str]:
    """Lines before the first row of a file like `source`: its header, if any."""
    if source.headerless or source.path.suffix in OBJECTS:
        return []
    return [row_line(source.header, source.header, source.path.suffix)]


def text_hash(texts: Iterable[str]) -> int:
    """64-bit hash of the texts of a row, without differences in case and white space."""
    words = "\0".join(" ".join(text.casefold().split()) for text in texts)
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big")


class SeenTexts:
    """Set of text hashes, eight bytes per row."""

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.uint64)

    def add(self, hashes: np.ndarray | Sequence[int]) -> None:
        """Add rows by their `text_hash`."""
        self._sorted = np.union1d(self._sorted, np.asarray(hashes, np.uint64))

    def unseen(self, hashes: np.ndarray | Sequence[int]) -> np.ndarray:
        """[n] bool: rows not added before; of duplicates in `hashes` only the first."""
        hashes = np.asarray(hashes, np.uint64)
        first = np.zeros(len(hashes), bool)
        first[np.unique(hashes, return_index=True)[1]] = True
        return first & ~np.isin(hashes, self._sorted, assume_unique=False)
