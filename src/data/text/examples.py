"""Rows of a task's text file (TSV, CSV or JSONL) as validated examples."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from ...errors import UserError, join_names
from ...files import is_file
from ...tasks import TaskSpec, for_mode
from .tabular import COMMA, OBJECTS, BadRow, Row, note_bad_row, numbered_rows

SUFFIXES = (".tsv", COMMA, *OBJECTS)
UNLABELED = "unlabeled"  # split of files whose labels, if any, are not read
NO_LABEL = frozenset(("-1", "-1.0"))  # in test files of GLUE's copy on the Hugging Face hub
SHOWN = 20  # labels listed in an error message; the rest are counted
LARGEST_SCORE = 3.4e38  # records store scores as float32


@dataclasses.dataclass(frozen=True)
class Example:
    """One row: its texts, its label as written (None for a row without one) and its line number."""

    text_a: str
    text_b: str | None
    label: str | None
    line: int


@dataclasses.dataclass
class TextFile:
    """Contents of a text file.

    examples   the valid rows, Examples or Sentences
    bad_rows   {"line", "reason"} of each skipped row
    unlabeled  number of rows without a gold label
    labeled    whether the file has labels
    repaired   {"line", "reason"} of each row that was repaired and kept
    """

    path: Path
    examples: list
    bad_rows: list[dict]
    unlabeled: int
    labeled: bool
    repaired: list[dict] = dataclasses.field(default_factory=list)


def find_file(directory: str | Path, name: str) -> Path | None:
    """`directory/name`, or the same name with another supported suffix (train.csv, train.jsonl), or None."""
    path = Path(directory) / name
    return next((p for p in (path, *map(path.with_suffix, SUFFIXES)) if is_file(p)), None)


class ExampleFile:
    """A text file of `task`, streamed row by row.

    `header` column names; `headerless` True if the file has no header line; `labeled` False for a "test..."
    file whose label column is missing, or empty in every row, and for the split UNLABELED. Raises UserError
    for a missing file and an invalid header.
    """

    def __init__(self, path: str | Path, task: TaskSpec, split: str = "train") -> None:
        self.path, self.task = Path(path), task
        if not is_file(self.path):
            raise UserError(f"{self.path} does not exist; it should hold the {split} rows of {task.name}")
        is_test, unlabeled = split.startswith("test"), split == UNLABELED
        # Only GLUE's own CoLA files have no header; a CSV or JSONL file names its columns.
        has_header = is_test or unlabeled or self.path.suffix != ".tsv"
        self.headerless = bool(task.columns) and not has_header
        rows = numbered_rows(self.path, task)
        self.header = list(task.columns) if self.headerless else _header(rows, self.path)
        self.labeled = not (is_test or unlabeled)
        if is_test:
            self.labeled = _any_label(rows, self.header, task)
        label = [task.label_column] if self.labeled else []
        _check_header(self.path, self.header, (*task.text_columns, *label))

    def rows(
        self, on_bad_row: str = "error", bad_rows: list[dict] | None = None
    ) -> Iterator[tuple[list[str], Example | None]]:
        """Yield (values of all columns as written, Example), None for the Example of an unlabeled row.

        Raises UserError for a malformed row; with on_bad_row "skip" it is appended to `bad_rows` instead.
        """
        rows = numbered_rows(self.path, self.task)
        for line, row in rows if self.headerless else islice(rows, 1, None):
            try:
                if isinstance(row, BadRow):
                    raise row
                example = _example(self.task, self.header, row, line, self.labeled)
            except BadRow as error:
                note_bad_row(error, self.path, line, on_bad_row, bad_rows)
                continue
            yield row, example


def columns_of(path: str | Path, task: TaskSpec) -> list[str]:
    """Column names of a file with a header, [] without a readable one."""
    rows = numbered_rows(Path(path), task) if is_file(path) else iter(())
    _, header = next(rows, (0, []))
    return header if isinstance(header, list) else []


def read_examples(
    path: str | Path, task: TaskSpec, on_bad_row: str = "error", max_rows: int = -1, split: str = "train"
) -> TextFile:
    """Read a text file of `task`; rows with the task's `unlabeled` value are skipped and counted.

    "test..." files have a header and may lack the label column. Raises UserError for a missing file, an
    invalid header and, with on_bad_row "error", for the first malformed row.
    """
    source = ExampleFile(path, task, split)
    text = TextFile(source.path, [], [], 0, source.labeled)
    rows = source.rows(on_bad_row, text.bad_rows)
    while len(text.examples) < max_rows or max_rows < 0:
        row = next(rows, None)
        if row is None:
            break
        if row[1] is None:
            text.unlabeled += 1
        else:
            text.examples.append(row[1])
    if not text.examples:
        raise UserError(f"{source.path} holds no usable row")
    return text


def _header(rows: Iterator[tuple[int, Row]], path: Path) -> list[str]:
    line, header = next(rows, (0, None))
    if isinstance(header, BadRow):
        raise UserError(f"{path}, line {line}: {header}")
    if header is None:
        raise UserError(f"{path} has no readable header line")
    return header


def _any_label(rows: Iterable[tuple[int, Row]], header: list[str], task: TaskSpec) -> bool:
    if task.label_column not in header:
        return False
    index = header.index(task.label_column)
    none = {"", *NO_LABEL - set(task.labels)}
    return any(
        row[index].strip() not in none for _, row in rows if not isinstance(row, BadRow) and index < len(row)
    )


def _check_header(path: Path, header: list[str], expected: tuple[str, ...]) -> None:
    missing = [name for name in expected if name not in header]
    if missing:
        shown = ", ".join(name[:40].encode("utf-8", "backslashreplace").decode() for name in header)
        raise UserError(
            f"{path}: the header lacks {', '.join(missing)}; "
            f"expected the columns {', '.join(expected)}, found {shown}"
        )
    repeated = [name for name in expected if header.count(name) > 1]
    if repeated:
        raise UserError(
            f"{path}: the header has the column {repeated[0]} {header.count(repeated[0])} times; rename all "
            "but one"
        )


def _example(task: TaskSpec, header: list[str], row: list[str], line: int, labeled: bool) -> Example | None:
    if len(row) != len(header):
        raise BadRow(f"{len(row)} columns instead of {len(header)}")
    values = dict(zip(header, row, strict=True))
    texts = [values[name].strip() for name in task.text_columns]
    label = values[task.label_column].strip() if labeled else None
    if labeled and label == task.unlabeled:
        return None
    for name, text in zip(task.text_columns, texts, strict=True):
        if not text:
            raise BadRow(f"the text in column {name} is empty")
    if label is not None:
        for_mode(LABEL_CHECKS, task.output_mode, "rows of text")(task, label)
    return Example(texts[0], texts[1] if len(texts) > 1 else None, label, line)


def _check_class(task: TaskSpec, label: str) -> None:
    if not label:
        raise BadRow(f"the label in column {task.label_column} is empty")
    # A task whose labels have not been collected yet accepts any.
    if task.labels and label not in task.labels:
        raise BadRow(
            f'label "{label[:40]}" is unknown to {task.name}, whose labels are '
            f"{join_names(task.labels, SHOWN)}"
        )


def _check_classes(task: TaskSpec, label: str) -> None:
    names = task.names_in(label)
    for name in names:
        _check_class(task, name)
    if len(set(names)) < len(names):
        raise BadRow(f'"{label[:40]}" repeats a label')


def _check_score(task: TaskSpec, label: str) -> None:
    try:
        score = float(label)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise BadRow(f'label "{label[:40]}" is not a number')
    if abs(score) > LARGEST_SCORE:
        raise BadRow(f'label "{label[:40]}" is out of the float32 range')


LABEL_CHECKS: dict[str, Callable[[TaskSpec, str], None]] = {
    "classification": _check_class,
    "multi_label": _check_classes,
    "regression": _check_score,
}
