"""Reads lines from a byte range of a text file, and divides corpus files into shards.

Shards are byte ranges, so that several processes can share even a single file without reading each other's
data. A range begins at a document boundary, which every process finds by itself.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from .files import DOC_LINE, TITLE_LINE, CorpusFile

# Bytes. Longer lines are read in pieces to bound memory; a line of JSON must be read whole.
MAX_LINE, MAX_JSON_LINE = 1 << 20, 1 << 26
# A document that extends further than this beyond a shard boundary is split there, at a line.
WINDOW = 1 << 20
FULL_STOP = "。".encode()


@dataclasses.dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` of file number `file`."""

    file: int
    start: int
    end: int


def raw_lines(handle: BinaryIO, start: int, end: int, limit: int = MAX_LINE) -> Iterator[tuple[int, bytes]]:
    """Iterate over (offset, bytes) of the lines that begin in [start, end) of a binary file."""
    handle.seek(start)
    while start < end:
        line = handle.readline(limit)
        if not line:
            return
        if len(line) == limit and not line.endswith(b"\n"):
            line = line[: _cut(line)]
            handle.seek(start + len(line))
        yield start, line
        start += len(line)


def _cut(line: bytes) -> int:
    """Offset at which a long line can be split without breaking a word or a character."""
    cut = max(line.rfind(b" ") + 1, (line.rfind(FULL_STOP) + len(FULL_STOP)) if FULL_STOP in line else 0)
    if cut:
        return cut
    cut = len(line)
    while cut > 1 and line[cut - 1] & 0xC0 == 0x80:
        cut -= 1
    # An incomplete character at the end belongs to the next piece.
    return cut - 1 if cut > 1 and line[cut - 1] >= 0xC0 else len(line)


def divide(files: Sequence[CorpusFile], num_shards: int) -> list[list[Span]]:
    """Divide the files into `num_shards` shards of about equal size; returns a list of Spans for each.

    Shards are empty when the text has too few documents.
    """
    total = sum(file.size for file in files)
    bounds = [(len(files), 0)]
    for number in reversed(range(1, num_shards)):
        file, offset = _locate(files, total * number // num_shards)
        start = _next_start(files[file], offset)
        # Without a line end in the window, this range is merged into the previous one.
        bound = bounds[-1] if start is None else (file, start)
        if start is not None and start >= files[file].size:
            bound = (file + 1, 0)
        bounds.append(min(bounds[-1], bound))
    bounds = [(0, 0), *reversed(bounds)]
    return [_spans(files, *pair) for pair in zip(bounds, bounds[1:], strict=False)]


def _locate(files: Sequence[CorpusFile], offset: int) -> tuple[int, int]:
    """(file number, offset in it) of an offset in the concatenated files."""
    for number, file in enumerate(files):
        if offset < file.size:
            return number, offset
        offset -= file.size
    raise ValueError("offset beyond the last file")


def _spans(files: Sequence[CorpusFile], begin: tuple[int, int], end: tuple[int, int]) -> list[Span]:
    spans = []
    for number in range(begin[0], min(end[0], len(files) - 1) + 1):
        start = begin[1] if number == begin[0] else 0
        stop = end[1] if number == end[0] else files[number].size
        if start < stop:
            spans.append(Span(number, start, stop))
    return spans


def _next_start(file: CorpusFile, offset: int) -> int | None:
    """First document boundary at or after `offset`, or line boundary if the window has none.

    The size of the file when its last document extends to the end, None without a line end in the window.
    """
    if offset == 0:
        return 0
    with open(file.path, "rb") as handle:
        handle.seek(offset - 1)
        if not handle.readline(WINDOW).endswith(b"\n"):
            return file.size if handle.tell() >= file.size else None
        first, blank = handle.tell(), False
        for start, line in raw_lines(handle, first, first + WINDOW):
            if _begins_document(file.form, line, blank):
                return start
            blank = not line.strip()
        return file.size if handle.tell() >= file.size else first


def _begins_document(form: str, line: bytes, after_blank: bool) -> bool:
    if form == "wikiextractor":
        return DOC_LINE.match(line) is not None
    if form == "wikitext":
        return after_blank and TITLE_LINE.match(line) is not None
    return bool(line.strip()) and (after_blank or form == "json")
