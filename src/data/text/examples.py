"""Rows of a task's text file (TSV, CSV or JSONL) as examples; a sentence for each thing that can be wrong."""

import dataclasses
import math
from itertools import islice
from pathlib import Path

from ...errors import UserError, join_names
from ...tasks import for_mode
from .tabular import COMMA, OBJECTS, BadRow, numbered_rows

SUFFIXES = (".tsv", COMMA, *OBJECTS)
SHOWN = 20  # labels join_names in a complaint; the rest are counted
LARGEST_SCORE = 3.4e38  # records hold scores as float32


@dataclasses.dataclass(frozen=True)
class Example:
    """One row: its texts, its label as written (None in a file without labels) and its line in the file."""

    text_a: str
    text_b: str | None
    label: str | None
    line: int


@dataclasses.dataclass
class TextFile:
    """What a file held: the good rows, the complaints about bad ones, and how many had no gold label.

    `repaired` are complaints too, about rows that were mended and kept.
    """

    path: Path
    examples: list
    bad_rows: list
    unlabelled: int
    labelled: bool
    repaired: list = dataclasses.field(default_factory=list)


def find_file(directory, name):
    """`directory/name`, or the same name with another known suffix (train.csv, train.jsonl), or None."""
    path = Path(directory) / name
    return next((p for p in (path, *map(path.with_suffix, SUFFIXES)) if p.is_file()), None)


class ExampleFile:
    """A text file of `task`, read row by row: however long it is, one row is in memory.

    `header` the names of the columns; `headerless` True where the file begins with a row; `labelled` False
    for a file ("test...") whose label column is missing, or empty in every row. Raises UserError for a
    missing file and a wrong header.
    """

    def __init__(self, path, task, split="train"):
        self.path, self.task = Path(path), task
        if not self.path.is_file():
            raise UserError(f"{self.path} does not exist; it should hold the {split} rows of {task.name}")
        is_test = split.startswith("test")
        # Only GLUE's own CoLA files have no header; a CSV or JSONL file names its columns.
        self.headerless = bool(task.columns) and self.path.suffix == ".tsv" and not is_test
        rows = numbered_rows(self.path, task)
        self.header = list(task.columns) if self.headerless else _header(rows, self.path)
        self.labelled = not is_test or _any_label(rows, self.header, task.label_column)
        label = [task.label_column] if self.labelled else []
        _check_header(self.path, self.header, (*task.text_columns, *label))

    def rows(self, on_bad_row="error", bad_rows=None):
        """Pairs (values of all columns as written, Example); None for the Example of an unlabelled row.

        Raises UserError for a bad row; with on_bad_row "skip" it is noted in the list `bad_rows` instead.
        """
        rows = numbered_rows(self.path, self.task)
        for line, row in rows if self.headerless else islice(rows, 1, None):
            try:
                example = _example(self.task, self.header, row, line, self.labelled)
            except BadRow as complaint:
                if on_bad_row != "skip":
                    raise UserError(
                        f"{self.path}, line {line}: {complaint} (--on_bad_row skip leaves such rows out)"
                    ) from None
                bad_rows.append({"line": line, "reason": str(complaint)})
                continue
            yield row, example


def read_examples(path, task, on_bad_row="error", max_rows=-1, split="train"):
    """Read a text file of `task`; rows that carry the task's `unlabelled` mark are left out and counted.

    `split` "test..." files have a header and may lack the label column. Returns a TextFile.
    Raises UserError for a missing file, a wrong header and, with on_bad_row "error", for the first bad row.
    """
    source = ExampleFile(path, task, split)
    found = TextFile(source.path, [], [], 0, source.labelled)
    rows = source.rows(on_bad_row, found.bad_rows)
    while len(found.examples) < max_rows or max_rows < 0:
        row = next(rows, None)
        if row is None:
            break
        if row[1] is None:
            found.unlabelled += 1
        else:
            found.examples.append(row[1])
    if not found.examples:
        raise UserError(f"{source.path} holds no usable row")
    return found


def _header(rows, path):
    line, header = next(rows, (0, None))
    if isinstance(header, BadRow):
        raise UserError(f"{path}, line {line}: {header}")
    if header is None:
        raise UserError(f"{path} has no header line that can be read")
    return header


def _any_label(rows, header, column):
    if column not in header:
        return False
    place = header.index(column)
    return any(row[place].strip() for _, row in rows if not isinstance(row, BadRow) and place < len(row))


def _check_header(path, header, expected):
    missing = [name for name in expected if name not in header]
    if missing:
        shown = ", ".join(str(name)[:40] for name in header)
        raise UserError(
            f"{path}: the header lacks {', '.join(missing)}; "
            f"expected the columns {', '.join(expected)}, found {shown}"
        )
    twice = [name for name in expected if header.count(name) > 1]
    if twice:
        raise UserError(
            f"{path}: the header has the column {twice[0]} {header.count(twice[0])} times; rename all but one"
        )


def _example(task, header, row, line, labelled):
    if isinstance(row, BadRow):
        raise row
    if len(row) != len(header):
        raise BadRow(f"{len(row)} columns where {len(header)} belong")
    values = dict(zip(header, row, strict=True))
    texts = [values[name].strip() for name in task.text_columns]
    label = values[task.label_column].strip() if labelled else None
    if labelled and label == task.unlabelled:
        return None
    for name, text in zip(task.text_columns, texts, strict=True):
        if not text:
            raise BadRow(f"the text in column {name} is empty")
    if labelled:
        for_mode(LABEL_CHECKS, task.output_mode, "rows of text")(task, label)
    return Example(texts[0], texts[1] if len(texts) > 1 else None, label, line)


def _check_class(task, label):
    if not label:
        raise BadRow(f"the label in column {task.label_column} is empty")
    # A task whose labels are still to be found takes any.
    if task.labels and label not in task.labels:
        raise BadRow(
            f'label "{label[:40]}" is unknown to {task.name}, whose labels are '
            f"{join_names(task.labels, SHOWN)}"
        )


def _check_classes(task, label):
    names = task.names_in(label)
    for name in names:
        _check_class(task, name)
    if len(set(names)) < len(names):
        raise BadRow(f'"{label[:40]}" names a label twice')


def _check_score(task, label):
    try:
        score = float(label)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise BadRow(f'label "{label[:40]}" is not a number')
    if abs(score) > LARGEST_SCORE:
        raise BadRow(f'label "{label[:40]}" is beyond what 32 bits hold')


LABEL_CHECKS = {"classification": _check_class, "multi_label": _check_classes, "regression": _check_score}
