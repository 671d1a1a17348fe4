"""Rows of a TSV, CSV or JSONL file as lists of values, each with its line number.

A malformed row is yielded as a BadRow with the reason, so that the caller can skip it.
"""

import csv
import json
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path

from ...errors import UserError
from ...json_reader import InvalidJson, parse_json
from ...tasks import TaskSpec

COMMA, OBJECTS = ".csv", (".jsonl", ".json")  # the suffix determines the format; any other is tab-separated
HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # lone surrogate: text truncated inside an escaped pair
NESTED = (list, dict)


class BadRow(Exception):
    """A malformed row; the message is the reason."""


Row = list[str] | BadRow


def note_bad_row(error: BadRow, path: Path, line: int, on_bad_row: str, bad_rows: list[dict] | None) -> None:
    """Append {"line", "reason"} to `bad_rows` where such rows are skipped; else raise UserError."""
    if on_bad_row != "skip" or bad_rows is None:
        raise UserError(f"{path}, line {line}: {error} (--on_bad_row skip skips such rows)") from None
    bad_rows.append({"line": line, "reason": str(error)})


def numbered_rows(path: Path, task: TaskSpec) -> Iterator[tuple[int, Row]]:
    """Yield (line number, values), header first; BadRow in place of the values of a malformed row."""
    if path.suffix in OBJECTS:
        return _json_rows(path, task)
    return _csv_rows(path) if path.suffix == COMMA else _tsv_rows(path)


def numbered_lines(path: Path) -> Iterator[tuple[int, str | BadRow]]:
    """Yield (line number, text) of a UTF-8 file; BadRow in place of a line that is not UTF-8."""
    # Split at newlines only: str.splitlines would also split a sentence at U+2028 and similar characters.
    pending = []
    for number, line in enumerate(_raw_lines(path), 1):
        pending.append((number, line))
        # Blank lines count as rows, except at the end of the file.
        if line.strip():
            for row, data in pending:
                try:
                    yield row, data.decode("utf-8").removesuffix("\r")
                except UnicodeDecodeError as error:
                    yield row, BadRow(f"not UTF-8 (byte {error.start + 1})")
            pending = []


def _raw_lines(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        first = file.readline().removeprefix(BOM_UTF8)
        for line in chain([first] if first else [], file):
            yield line.removesuffix(b"\n")


def _tsv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    # GLUE's files use no quoting: a lone " is an ordinary character.
    for number, line in numbered_lines(path):
        yield number, line if isinstance(line, BadRow) else line.split("\t")


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    # The module's limit is for all readers of the process; the texts of a task may be longer.
    csv.field_size_limit(sys.maxsize)
    # Strict: otherwise an unclosed quotation mark silently swallows the rows below it.
    errors: list[BadRow] = []
    reader = csv.reader(_csv_lines(path, errors), strict=True)
    while True:
        first = reader.line_num + 1
        errors.clear()
        row: Row | None
        try:
            row = next(reader, None)
        except csv.Error as error:
            if reader.line_num > first:
                raise UserError(
                    f"{path}, line {first}: the quotation mark opened here is not properly closed "
                    f"by line {reader.line_num} ({error})"
                ) from None
            row = BadRow(f"not valid CSV ({error})")
        if row is None:
            return
        if row:
            yield first, errors[0] if errors else row


def _csv_lines(path: Path, errors: list[BadRow]) -> Iterator[str]:
    """Decode the lines; invalid UTF-8 is appended to `errors`."""
    for line in _raw_lines(path):
        try:
            yield line.decode("utf-8") + "\n"
        except UnicodeDecodeError as error:
            errors.append(BadRow(f"not UTF-8 (byte {error.start + 1})"))
            yield line.decode("utf-8", "replace") + "\n"


def _json_rows(path: Path, task: TaskSpec) -> Iterator[tuple[int, Row]]:
    required = (*task.text_columns, task.label_column)
    header = _json_header(path, required)
    if header:
        yield 0, header
    for number, row in json_objects(path):
        if isinstance(row, BadRow):
            yield number, row
            continue
        missing = [name for name in header if name not in row and name in required]  # null is an empty text
        yield number, BadRow(f"lacks {', '.join(missing)}") if missing else _json_values(row, header, task)


def _json_header(path: Path, required: Collection[str]) -> list[str]:
    """Keys of the first row that has all required keys, else of the first row."""
    objects = (row for _, row in json_objects(path) if isinstance(row, dict))
    first = next(objects, {})
    return list(next((row for row in chain([first], objects) if set(required) <= set(row)), first))


def _json_values(row: dict[str, object], header: list[str], task: TaskSpec) -> Row:
    values = {name: "" if row.get(name) is None else row[name] for name in header}
    names = values.get(task.label_column)
    if task.output_mode == "multi_label" and isinstance(names, list):
        if any(name is None or isinstance(name, NESTED) for name in names):
            return BadRow(f"{task.label_column} is not a list of strings")
        labels = list(map(_json_text, names))
        if any(task.label_separator in label for label in labels):
            return BadRow(f"a label contains the label_separator {task.label_separator}")
        values[task.label_column] = task.label_separator.join(labels)
    for name in (*task.text_columns, task.label_column):
        if isinstance(values.get(name), NESTED):
            return BadRow(f"{name} is a list or an object instead of a string")
    texts = {name: _json_text(value) for name, value in values.items()}
    for name in (*task.text_columns, task.label_column):
        if HALF_CHARACTER.search(texts.get(name, "")):
            return BadRow(f"{name} contains a lone surrogate")
    return list(texts.values())


def _json_text(value: object) -> str:
    # As written in JSON: true rather than Python's True.
    return value if isinstance(value, str) else json.dumps(value)


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, object] | BadRow]]:
    """Yield (line number, object) of a JSONL file without its blank lines; BadRow for a malformed line."""
    for number, line in numbered_lines(path):
        if isinstance(line, BadRow):
            yield number, line
            continue
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except InvalidJson as error:
            yield number, BadRow(f"not valid JSON ({error})")
            continue
        yield number, row if isinstance(row, dict) else BadRow("not a JSON object")
