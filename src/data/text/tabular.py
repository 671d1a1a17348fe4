"""Lines of a TSV, CSV or JSONL file as rows of values, each with the number of its line.

A row that breaks the format is given as the BadRow that says how, so that whoever reads on may leave it out.
"""

import csv
import json
import re
from codecs import BOM_UTF8
from itertools import chain

from ...errors import UserError

COMMA, OBJECTS = ".csv", (".jsonl", ".json")  # the form of a file by its suffix; any other: tabs
HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # a text that was cut inside an escaped pair
NESTED = (list, dict)


class BadRow(Exception):
    """A row that breaks the format; the message says how."""


def numbered_rows(path, task):
    """Pairs (line number, values), header first; an unreadable row is given as the BadRow that says why."""
    if path.suffix in OBJECTS:
        return _json_rows(path, task)
    return _csv_rows(path) if path.suffix == COMMA else _tsv_rows(path)


def _lines(path):
    # Split at newlines only: str.splitlines would also break a sentence at U+2028 and its like.
    waiting = []
    for number, line in enumerate(_raw_lines(path), 1):
        waiting.append((number, line))
        # Blank lines count as rows, except at the end of the file.
        if line.strip():
            yield from (_decoded(*each) for each in waiting)
            waiting = []


def _raw_lines(path):
    with open(path, "rb") as file:
        first = file.readline().removeprefix(BOM_UTF8)
        for line in chain([first] if first else [], file):
            yield line.removesuffix(b"\n")


def _decoded(number, line):
    try:
        return number, line.decode("utf-8").removesuffix("\r")
    except UnicodeDecodeError as error:
        return number, BadRow(f"not UTF-8 (byte {error.start + 1})")


def _tsv_rows(path):
    # Quoting is off in GLUE's files: a lone " is a character like any other.
    for number, line in _lines(path):
        yield number, line if isinstance(line, BadRow) else line.split("\t")


def _csv_rows(path):
    # Strict: else a quotation mark that is never closed takes the rows below it into its own, unnoticed.
    broken = []
    reader = csv.reader(_csv_lines(path, broken), strict=True)
    while True:
        first = reader.line_num + 1
        broken.clear()
        try:
            row = next(reader, None)
        except csv.Error as error:
            if reader.line_num > first:
                raise UserError(
                    f"{path}, line {first}: a quotation mark opens here and is not closed as it "
                    f"should be, up to line {reader.line_num} ({error})"
                ) from None
            row = BadRow(f"not valid CSV ({error})")
        if row is None:
            return
        if row:
            yield first, broken[0] if broken else row


def _csv_lines(path, broken):
    """The lines as text; of one that is not UTF-8 the list `broken` is told."""
    for line in _raw_lines(path):
        try:
            yield line.decode("utf-8") + "\n"
        except UnicodeDecodeError as error:
            broken.append(BadRow(f"not UTF-8 (byte {error.start + 1})"))
            yield line.decode("utf-8", "replace") + "\n"


def _json_rows(path, task):
    needed = (*task.text_columns, task.label_column)
    header = _json_header(path, needed)
    if header:
        yield 0, header
    for number, row in _json_objects(path):
        if isinstance(row, dict):
            lacking = [name for name in header if row.get(name) is None and name in needed]
            row = BadRow(f"lacks {', '.join(lacking)}") if lacking else _json_values(row, header, task)
        yield number, row


def _json_header(path, needed):
    """The keys of the first row that has all the needed ones, else of the first row."""
    objects = (row for _, row in _json_objects(path) if isinstance(row, dict))
    first = next(objects, {})
    return list(next((row for row in chain([first], objects) if set(needed) <= set(row)), first))


def _json_values(row, header, task):
    values = {name: "" if row.get(name) is None else row[name] for name in header}
    names = values.get(task.label_column)
    if task.output_mode == "multi_label" and isinstance(names, list):
        if any(name is None or isinstance(name, NESTED) for name in names):
            return BadRow(f"{task.label_column} is a list of something else than texts")
        names = list(map(_json_text, names))
        if any(task.label_separator in name for name in names):
            return BadRow(f"a label holds the label_separator {task.label_separator}")
        values[task.label_column] = task.label_separator.join(names)
    for name in (*task.text_columns, task.label_column):
        if isinstance(values.get(name), NESTED):
            return BadRow(f"{name} is a list or an object, a text belongs there")
    texts = list(map(_json_text, values.values()))
    return BadRow("a text holds half of a character") if any(map(HALF_CHARACTER.search, texts)) else texts


def _json_text(value):
    # As it is written: true, and not Python's True.
    return value if isinstance(value, str) else json.dumps(value)


def _json_objects(path):
    for number, line in _lines(path):
        yield number, line if isinstance(line, BadRow) else _json_object(line)


def _json_object(line):
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        return BadRow(f"not valid JSON ({error.msg})")
    return row if isinstance(row, dict) else BadRow("not a JSON object")
