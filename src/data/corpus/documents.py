"""Documents of a text file as a stream of their lines, in each of the forms that corpora come in."""

import html
import json
import re
from codecs import BOM_UTF8
from functools import partial

from ...errors import UserError
from ..text.tabular import HALF_CHARACTER
from .files import DOC_LINE, TITLE_LINE
from .lines import MAX_JSON_LINE, MAX_LINE, raw_lines

HEADING = re.compile(r"\s*((?:= )+)(.*?)((?: =)+)\s*$")
DOC_END = b"</doc>"
LISTED = 20


class BadLines:
    """What to do with lines that break the form: stop at the first ("error") or count them ("skip")."""

    def __init__(self, on_bad_line="error"):
        self.on_bad_line, self.count, self.listed = on_bad_line, 0, []

    def add(self, file, offset, reason):
        """Note the line at byte `offset`. Raises UserError with its number unless such lines are left out."""
        self.count += 1
        if self.on_bad_line != "skip":
            raise UserError(
                f"{file.path}, line {line_number(file, offset)}: {reason} "
                "(--on_bad_line skip leaves such lines out)"
            )
        if len(self.listed) < LISTED:
            self.listed.append({"file": file.name, "line": line_number(file, offset), "reason": reason})


def line_number(file, offset):
    """The number of the line that begins at byte `offset`: counted only where somebody wants to know."""
    number = 1
    with open(file.path, "rb") as handle:
        while offset > 0 and (block := handle.read(min(offset, 1 << 20))):
            number += block.count(b"\n")
            offset -= len(block)
    return number


def document_lines(file, span, bad_lines):
    """Iterate over (key, text, place) of the lines with text in a span.

    key    the same for all lines of a document, another for the next one: (file number, offset in bytes)
    text   a line (of JSON: a line of its text), markup of the form taken off
    place  the offset behind which nothing has been read yet
    Raises UserError, or counts, as `bad_lines` decides.
    """
    with open(file.path, "rb") as handle:
        limit = MAX_JSON_LINE if file.form == "json" else MAX_LINE
        lines = raw_lines(handle, span.start, span.end, limit)
        complain = partial(bad_lines.add, file)
        for document, text, place in READERS[file.form](_decoded(lines, complain), span, file.size, complain):
            yield (span.file, document), text, place


def _decoded(lines, complain):
    """(offset, text, bytes) of the lines that are UTF-8."""
    for offset, line in lines:
        if offset == 0:
            line = line.removeprefix(BOM_UTF8)
        try:
            yield offset, line.decode("utf-8"), line
        except UnicodeDecodeError as error:
            complain(offset, f"not UTF-8 (byte {error.start + 1})")


def _plain(lines, span, size, complain):
    document = None
    for offset, text, line in lines:
        if not text.strip():
            document = None
        else:
            document = offset if document is None else document
            yield document, text, offset + len(line)


def _wikitext(lines, span, size, complain):
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


def _wikiextractor(lines, span, size, complain):
    # A span that begins inside a very long document begins without its <doc> line.
    document, began = (span.start or None), False
    for offset, text, line in lines:
        if DOC_LINE.match(line):
            if began:
                complain(offset, f"a <doc> block begins, but the one before has no {DOC_END.decode()}")
            document, began = offset, True
        elif line.strip() == DOC_END:
            document, began = None, False
        elif text.strip():
            if document is None:
                complain(offset, "text outside of a <doc> block")
            else:
                yield document, html.unescape(text), offset + len(line)
    if began and span.end == size:
        complain(document, f"this <doc> block has no {DOC_END.decode()}: the file is cut short")


def _json(lines, span, size, complain):
    for offset, text, line in lines:
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            complain(offset, f"not valid JSON ({getattr(error, 'msg', 'nested too deeply')})")
            continue
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            complain(offset, 'not a JSON object with a string "text"')
            continue
        if HALF_CHARACTER.search(row["text"]):
            complain(offset, '"text" holds half of a character')
            continue
        for part in html.unescape(row["text"]).split("\n"):
            if part.strip():
                yield offset, part, offset + len(line)


READERS = {"plain": _plain, "wikiextractor": _wikiextractor, "json": _json, "wikitext": _wikitext}
