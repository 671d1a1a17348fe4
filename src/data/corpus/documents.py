"""Streams the lines of the documents of a corpus file, for each supported text format."""

import html
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from ...errors import UserError
from ...json_reader import InvalidJson, parse_json
from ..text.tabular import HALF_CHARACTER
from .files import DOC_LINE, TITLE_LINE, CorpusFile
from .lines import MAX_JSON_LINE, MAX_LINE, Span, raw_lines

HEADING = re.compile(r"\s*((?:= )+)(.*?)((?: =)+)\s*$")
DOC_END = b"</doc>"
LISTED = 20
DocumentKey = tuple[int, int]  # (file number, byte offset)
DecodedLines = Iterable[tuple[int, str, bytes]]
Report = Callable[[int, str], None]  # of (byte offset, reason)


class BadLines:
    """Malformed lines: stop at the first ("error") or count and skip them ("skip")."""

    def __init__(self, on_bad_line: str = "error") -> None:
        self.on_bad_line, self.count = on_bad_line, 0
        self.listed: list[dict] = []

    def add(self, file: CorpusFile, offset: int, reason: str) -> None:
        """Record the line at byte `offset`. Raises UserError with its number unless lines are skipped."""
        self.count += 1
        if self.on_bad_line != "skip":
            raise UserError(
                f"{file.path}, line {line_number(file, offset)}: {reason} "
                "(--on_bad_line skip skips such lines)"
            )
        if len(self.listed) < LISTED:
            self.listed.append({"file": file.name, "line": line_number(file, offset), "reason": reason})


def line_number(file: CorpusFile, offset: int) -> int:
    """Number of the line that begins at byte `offset`; counts from the start of the file."""
    number = 1
    with open(file.path, "rb") as handle:
        while offset > 0 and (block := handle.read(min(offset, 1 << 20))):
            number += block.count(b"\n")
            offset -= len(block)
    return number


def document_lines(
    file: CorpusFile, span: Span, bad_lines: BadLines
) -> Iterator[tuple[DocumentKey, str, int]]:
    """Iterate over (key, text, end) of the non-blank lines of a span.

    key   identifies the document: (file number, byte offset)
    text  a line (JSON: a line of its text) without the format's markup
    end   byte offset up to which the file has been read
    Malformed lines go to `bad_lines`, which may raise UserError.
    """
    with open(file.path, "rb") as handle:
        limit = MAX_JSON_LINE if file.form == "json" else MAX_LINE
        lines = raw_lines(handle, span.start, span.end, limit)
        report = partial(bad_lines.add, file)
        for document, text, end in READERS[file.form](_decoded(lines, report), span, file.size, report):
            yield (span.file, document), text, end


def _decoded(lines: Iterable[tuple[int, bytes]], report: Report) -> Iterator[tuple[int, str, bytes]]:
    """(offset, text, bytes) of the lines that are valid UTF-8."""
    for offset, line in lines:
        if offset == 0:
            line = line.removeprefix(BOM_UTF8)
        try:
            yield offset, line.decode("utf-8"), line
        except UnicodeDecodeError as error:
            report(offset, f"not UTF-8 (byte {error.start + 1})")


def _plain(lines: DecodedLines, span: Span, size: int, report: Report) -> Iterator[tuple[int, str, int]]:
    document = None
    for offset, text, line in lines:
        if not text.strip():
            document = None
        else:
            document = offset if document is None else document
            yield document, text, offset + len(line)


def _wikitext(lines: DecodedLines, span: Span, size: int, report: Report) -> Iterator[tuple[int, str, int]]:
    document, after_blank = None, True
    for offset, text, line in lines:
        if not text.strip():
            after_blank = True
            continue
        if document is None or (after_blank and TITLE_LINE.match(line)):
            document = offset
        heading = HEADING.match(text)
        yield document, heading[2] if heading else text, offset + len(line)
        after_blank = False


def _wikiextractor(
    lines: DecodedLines, span: Span, size: int, report: Report
) -> Iterator[tuple[int, str, int]]:
    # A span inside a very long document starts without its <doc> line.
    document, open_block = (span.start or None), False
    for offset, text, line in lines:
        if DOC_LINE.match(line):
            if open_block:
                report(offset, f"a <doc> block begins, but the previous one has no {DOC_END.decode()}")
            document, open_block = offset, True
        elif line.strip() == DOC_END:
            document, open_block = None, False
        elif text.strip():
            if document is None:
                report(offset, "text outside of a <doc> block")
            else:
                yield document, html.unescape(text), offset + len(line)
    if open_block and document is not None and span.end == size:
        report(document, f"this <doc> block has no {DOC_END.decode()}: the file is truncated")


def _json(lines: DecodedLines, span: Span, size: int, report: Report) -> Iterator[tuple[int, str, int]]:
    for offset, text, line in lines:
        if not text.strip():
            continue
        try:
            row = parse_json(text)
        except InvalidJson as error:
            report(offset, f"not valid JSON ({error})")
            continue
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            report(offset, 'not a JSON object with a string "text"')
            continue
        if HALF_CHARACTER.search(row["text"]):
            report(offset, '"text" contains a lone surrogate')
            continue
        for part in html.unescape(row["text"]).split("\n"):
            if part.strip():
                yield offset, part, offset + len(line)


READERS = {"plain": _plain, "wikiextractor": _wikiextractor, "json": _json, "wikitext": _wikitext}
