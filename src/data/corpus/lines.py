"""Lines of a text file from one byte to another, and the places at which a file may be divided into shards.

Shards are stretches of bytes, so that many processes share even a single file and none reads what is not its
own. A stretch begins where a document begins: every process finds the same places by itself.
"""

import dataclasses

from .files import DOC_LINE, TITLE_LINE

# Bytes. A longer line comes in pieces, so that memory stays flat; a line of JSON has to be read whole.
MAX_LINE, MAX_JSON_LINE = 1 << 20, 1 << 26
# A document that goes on for longer than this beyond a place of division is cut there, at a line.
WINDOW = 1 << 20
FULL_STOP = "。".encode()


@dataclasses.dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` of the file number `file`."""

    file: int
    start: int
    end: int


def raw_lines(handle, start, end, limit=MAX_LINE):
    """Iterate over (offset, bytes) of the lines that begin in start..end of an open binary file."""
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


def _cut(line):
    """Where a piece of a long line can end without harm to a word or a character."""
    cut = max(line.rfind(b" ") + 1, (line.rfind(FULL_STOP) + len(FULL_STOP)) if FULL_STOP in line else 0)
    if cut:
        return cut
    cut = len(line)
    while cut > 1 and line[cut - 1] & 0xC0 == 0x80:
        cut -= 1
    # A lone lead byte belongs to the next piece; a character in front of it is whole.
    return cut - 1 if cut > 1 and line[cut - 1] >= 0xC0 else len(line)


def divide(files, num_shards):
    """Divide the files into `num_shards` stretches of about equal bytes; returns a list of Spans for each.

    A stretch is empty where the text has too few documents.
    """
    total = sum(file.size for file in files)
    bounds = [(len(files), 0)]
    for number in reversed(range(1, num_shards)):
        file, offset = _locate(files, total * number // num_shards)
        start = _next_start(files[file], offset)
        # No line ends within the window: this stretch falls to the one before it.
        bounds.append(bounds[-1] if start is None else min(bounds[-1], _normal(files, file, start)))
    bounds = [(0, 0), *reversed(bounds)]
    return [_spans(files, *pair) for pair in zip(bounds, bounds[1:], strict=False)]


def _locate(files, place):
    for number, file in enumerate(files):
        if place < file.size:
            return number, place
        place -= file.size
    raise ValueError("a place beyond the last file")


def _normal(files, file, offset):
    return (file + 1, 0) if offset >= files[file].size else (file, offset)


def _spans(files, begin, end):
    spans = []
    for number in range(begin[0], min(end[0], len(files) - 1) + 1):
        start = begin[1] if number == begin[0] else 0
        stop = end[1] if number == end[0] else files[number].size
        if start < stop:
            spans.append(Span(number, start, stop))
    return spans


def _next_start(file, offset):
    """The first place at or after `offset` where a document begins, or a line if none does in the window.

    The size of the file when the last document runs to its end, None when not even a line ends in the window.
    """
    if offset == 0:
        return 0
    with open(file.path, "rb") as handle:
        handle.seek(offset - 1)
        if not handle.readline(WINDOW).endswith(b"\n"):
            return file.size if handle.tell() >= file.size else None
        first, blank = handle.tell(), False
        for place, line in raw_lines(handle, first, first + WINDOW):
            if _begins_document(file.form, line, blank):
                return place
            blank = not line.strip()
        return file.size if handle.tell() >= file.size else first


def _begins_document(form, line, after_blank):
    if form == "wikiextractor":
        return DOC_LINE.match(line) is not None
    if form == "wikitext":
        return after_blank and TITLE_LINE.match(line) is not None
    return bool(line.strip()) and (after_blank or form == "json")
