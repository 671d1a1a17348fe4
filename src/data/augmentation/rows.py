"""Rows of augmented text: how one is written, and which texts are there already."""

import csv
import hashlib
import io
import json

import numpy as np

from ..text.tabular import COMMA, OBJECTS


def row_line(values, header, suffix):
    """One row as a line of a file with this suffix, newline included: TSV, CSV or JSON lines."""
    if suffix in OBJECTS:
        return json.dumps(dict(zip(header, values, strict=True)), ensure_ascii=False) + "\n"
    if suffix == COMMA:
        text = io.StringIO()
        # By itself the writer quotes no lone carriage return, at which the reader would stop.
        quoting = csv.QUOTE_ALL if any("\r" in value for value in values) else csv.QUOTE_MINIMAL
        csv.writer(text, lineterminator="\n", quoting=quoting).writerow(values)
        return text.getvalue()
    return "\t".join(values) + "\n"


def header_lines(source):
    """The lines before the first row of a file like `source` (ExampleFile): its header, or none."""
    if source.headerless or source.path.suffix in OBJECTS:
        return []
    return [row_line(source.header, source.header, source.path.suffix)]


def text_hash(texts):
    """64 bits of the texts of a row; blanks do not count, as a tokenizer does not see them."""
    words = "\0".join(" ".join(text.split()) for text in texts)
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "big")


class SeenTexts:
    """Which rows are there already, at eight bytes a row."""

    def __init__(self):
        self._sorted = np.empty(0, np.uint64)

    def add(self, hashes):
        """Note rows by their `text_hash`."""
        self._sorted = np.union1d(self._sorted, np.asarray(hashes, np.uint64))

    def fresh(self, hashes):
        """[n] bool: rows that were not added before, of equal ones in `hashes` the first."""
        hashes = np.asarray(hashes, np.uint64)
        first = np.zeros(len(hashes), bool)
        first[np.unique(hashes, return_index=True)[1]] = True
        return first & ~np.isin(hashes, self._sorted, assume_unique=False)
