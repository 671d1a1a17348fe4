"""Texts without labels: read, without duplicates and rows of other splits, and added to the training rows."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..config.task.custom import PLAIN_TEXT
from ..errors import UserError
from ..files import is_file, split_paths
from ..tasks import TaskSpec
from .text.conll import Sentence
from .text.examples import SUFFIXES, UNLABELED, Example, TextFile, read_examples
from .text.lines import split_line
from .text.tabular import BadRow, note_bad_row, numbered_lines

DUPLICATES = "duplicates"


@dataclasses.dataclass
class UnlabeledTexts:
    """The texts of some files as Examples without labels.

    read      rows of the files, without blank lines and malformed rows
    bad_rows  {"file", "line", "reason"} of each skipped row
    dropped   {split: rows that are also rows of it; "duplicates": rows that repeat an earlier one}
    """

    paths: list[Path]
    examples: list[Example]
    bad_rows: list[dict]
    read: int
    dropped: dict[str, int]


def read_unlabeled(
    files: Iterable[str],
    task: TaskSpec,
    texts: Mapping[str, TextFile],
    on_bad_row: str = "error",
    max_rows: int = -1,
) -> UnlabeledTexts:
    """Read files (or comma-separated lists of them) of texts for a task.

    Rows that stand in `texts` {split: TextFile} or earlier in the files are dropped, whatever their case and
    white space. Raises UserError for a missing or malformed file, and where no row is left.
    """
    if task.output_mode == "token_classification":
        raise UserError(f"--unlabelled_file does not apply to {task.name}, whose texts are words; remove it")
    paths = [Path(path) for each in files for path in split_paths(each)]
    found = UnlabeledTexts(paths, [], [], 0, {})
    split_of: dict[tuple[str, ...], str] = {}
    # A text of dev that is in train too counts for dev.
    for split in sorted(texts, key="train".__eq__):
        for row in texts[split].examples:
            split_of.setdefault(text_key(row), split)
    dropped: Counter[str] = Counter()
    for path in paths:
        text = _read_file(path, task, on_bad_row, max_rows)
        found.bad_rows += [{"file": path.name, **bad} for bad in text.bad_rows]
        found.read += len(text.examples)
        for row in text.examples:
            key = text_key(row)
            if key in split_of:
                dropped[split_of[key]] += 1
            else:
                split_of[key] = DUPLICATES
                found.examples.append(row)
    found.dropped = {name: dropped[name] for name in (*texts, DUPLICATES) if dropped[name]}
    if not found.examples:
        names = ", ".join(map(str, paths))
        raise UserError(f"{names}: every text is also a labeled row or a row of dev; give other texts")
    return found


def text_key(row: Example | Sentence) -> tuple[str, ...]:
    """The texts, or the words, of a row, without differences in case and white space."""
    texts = row.words if isinstance(row, Sentence) else (row.text_a, row.text_b)
    return tuple(" ".join(text.casefold().split()) for text in texts if text is not None)


def add_unlabeled(
    texts: Mapping[str, TextFile], found: UnlabeledTexts, dev_splits: Sequence[str], share: float, seed: int
) -> dict[str, TextFile]:
    """`texts` with the unlabeled ones among the training rows, train first.

    Where no split of `dev_splits` is there, a random `share` of the texts is split off for them, which
    depends on `share` and `seed` only. Raises UserError for too few texts.
    """
    source = TextFile(found.paths[0], found.examples, [], 0, labeled=False)
    held_out: dict[str, TextFile] = {}
    if not set(dev_splits) & set(texts):
        rows, count = found.examples, len(found.examples)
        if count < len(dev_splits) + 1:
            raise UserError(f"{source.path}: {count} texts are too few to split off a dev set; give more")
        order = np.random.default_rng(seed).permutation(count)
        chosen = np.sort(order[: min(max(round(count * share), len(dev_splits)), count - 1)])
        for number, split in enumerate(dev_splits):
            own = [rows[index] for index in chosen[number :: len(dev_splits)]]
            held_out[split] = dataclasses.replace(source, examples=own)
        left = np.setdiff1d(np.arange(count), chosen)
        source = dataclasses.replace(source, examples=[rows[index] for index in left])
    train = texts.get("train")
    if train:
        source = dataclasses.replace(train, examples=[*train.examples, *source.examples])
    return {"train": source, **held_out, **{split: texts[split] for split in texts if split != "train"}}


def _read_file(path: Path, task: TaskSpec, on_bad_row: str, max_rows: int) -> TextFile:
    if path.suffix == PLAIN_TEXT:
        return _read_lines(path, task, on_bad_row, max_rows)
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"{path} has no supported suffix; name it {PLAIN_TEXT} for one text a line, or "
            f"{', '.join(SUFFIXES[:-1])} by its format"
        )
    # The label column may be missing, and is not read.
    first = task.text_columns[0]
    unlabeled = dataclasses.replace(task, columns=(), label_column=first, output_mode="classification")
    return read_examples(path, unlabeled, on_bad_row, max_rows, UNLABELED)


def _read_lines(path: Path, task: TaskSpec, on_bad_row: str, max_rows: int) -> TextFile:
    """Examples of a file of one text a line, or of a pair separated by a tab; blank lines are skipped."""
    if not is_file(path):
        raise UserError(f"{path} does not exist; it should hold texts of {task.name}, one a line")
    text = TextFile(path, [], [], 0, labeled=False)
    for number, line in numbered_lines(path):
        if 0 <= max_rows <= len(text.examples):
            break
        try:
            if example := _line_example(line, task, number):
                text.examples.append(example)
        except BadRow as error:
            note_bad_row(error, path, number, on_bad_row, text.bad_rows)
    if not text.examples:
        raise UserError(f"{path} holds no usable row")
    return text


def _line_example(line: str | BadRow, task: TaskSpec, number: int) -> Example | None:
    if isinstance(line, BadRow):
        raise line
    if not line.strip():
        return None
    first, second = split_line(line.strip())
    pairs = len(task.text_columns) == 2
    if pairs and not (second and second.strip() and first.strip()):
        raise BadRow(f"{task.name} has pairs; separate two texts by a tab")
    if second is not None and not pairs:
        raise BadRow(f"{task.name} has single texts; replace the tab, which separates two")
    return Example(first.strip(), second.strip() if second else None, None, number)
