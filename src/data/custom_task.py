"""Rows of a custom task: collects its labels and splits off a dev set."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..config.task.custom import CustomTask
from ..config.task.validation import CHECKS
from ..entities import tag_set
from ..errors import UserError
from ..tasks import TaskSpec
from .processors import read_rows
from .text.conll import Sentence
from .text.examples import SUFFIXES, Example, TextFile, columns_of
from .unlabeled import text_key

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def read_custom_task(
    task: CustomTask, on_bad_row: str = "error", max_rows: int = -1
) -> tuple[CustomTask, dict[str, TextFile]]:
    """Read the files of a CustomTask.

    Returns the CustomTask with its labels filled in and {split: TextFile} of train, dev and test, as far as
    files are given. The dev rows come from dev_file or are split off the training rows. Raises UserError for
    files that do not match the task.
    """
    files = {"train": task.train_file, "dev": task.dev_file, "test": task.test_file}
    files = {split: path for split, path in files.items() if path}
    for path in files.values():
        check_suffix(path, task)
    task = _separate_columns(task)
    texts: dict[str, TextFile] = {}
    labels: Sequence[str] = task.labels
    if first := next((split for split in ("train", "dev") if split in files), None):
        texts[first] = read_rows(files[first], task.spec(), on_bad_row, max_rows, first)
        if not labels and task.output_mode != "regression":
            labels = labels_of(texts[first].examples, task.spec())
    task = task.with_labels(labels)
    if task.train_file and task.makes_dev:
        train = texts["train"]
        train_indices, dev_indices = split_rows(train, task)
        dev = dataclasses.replace(_subset(train, dev_indices), bad_rows=[], repaired=[])
        texts = {"train": _subset(train, train_indices), "dev": dev}
    for split, path in files.items():
        if split not in texts:
            texts[split] = read_rows(path, task.spec(), on_bad_row, max_rows, split)
    return task, texts


def _separate_columns(task: CustomTask) -> CustomTask:
    """The task with `a,b` as two text columns, unless its first file has a column of that name."""
    if len(task.text_columns) != 1 or "," not in task.text_columns[0]:
        return task
    first = task.train_file or task.dev_file or next(iter(task.unlabelled_file), "")
    if task.text_columns[0] in columns_of(first, task.spec()):
        return task
    columns = tuple(name.strip() for name in task.text_columns[0].split(",") if name.strip())
    task = dataclasses.replace(task, text_columns=columns)
    error = CHECKS["text_columns"](task, ()) or CHECKS["label_column"](task, ())
    if error:
        raise UserError(f"--text_columns {','.join(columns)}: {error}")
    return task


def held_out(task: CustomTask, on_bad_row: str = "error") -> tuple[CustomTask, set[int]]:
    """(CustomTask with its labels, line numbers of train_file that `read_custom_task` splits off for dev)."""
    task, texts = read_custom_task(task, on_bad_row)
    return task, {example.line for example in texts["dev"].examples} if task.makes_dev else set()


def check_suffix(path: str | Path, task: CustomTask) -> None:
    """Raise UserError for a file without a supported suffix; CoNLL files may have any."""
    if Path(path).suffix not in SUFFIXES and not task.by_word:
        raise UserError(f"{path} has no supported suffix; name it {', '.join(SUFFIXES[:-1])} by its format")


def labels_of(examples: Iterable[Example | Sentence], task: TaskSpec) -> Sequence[str]:
    """Sorted labels of the examples, numbers by value before words; for BIO tags `entities.tag_set`."""
    names = {name for example in examples for name in _names(example, task)}
    return tag_set(names) if task.output_mode == "token_classification" else sorted(names, key=_sort_key)


def counts_of(examples: Iterable[Example | Sentence], task: TaskSpec) -> dict[str, int]:
    """{label: number of rows (or words) with it} of labeled examples, in the order of the task's labels."""
    counts = Counter(name for example in examples for name in _names(example, task))
    return {label: counts[label] for label in task.labels}


def split_rows(text: TextFile, task: CustomTask) -> tuple[list[int], list[int]]:
    """(indices of the training rows, indices of the dev rows) of a TextFile, both ascending.

    Rows with the same text are on one side. Stratified: about `dev_share` of the texts of each label; for
    regression one text from each group of consecutive sorted scores. A text counts for the label of its first
    row, a multi-label row for its rarest label, a row without labels forms a stratum of its own; tagged
    sentences are not stratified. The split depends only on the rows, dev_share and split_seed. Raises
    UserError for a class without a training row: one with a single text, or one whose texts all have
    another label first.
    """
    same: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(text.examples):
        same.setdefault(text_key(row), []).append(index)
    groups = list(same.values())
    spec, rows = task.spec(), [text.examples[group[0]] for group in groups]
    strata: Mapping[str | int | None, Sequence[int] | np.ndarray]
    if task.by_word:
        strata = {None: range(len(rows))}
    elif spec.output_mode == "regression":
        strata = _score_strata(rows, task.dev_share)
    else:
        strata = _label_strata(rows, spec)
    rng = np.random.default_rng(task.split_seed)
    dev: list[int] = []
    for label, indices in strata.items():
        if len(indices) == 1 and spec.output_mode == "classification":
            hint = "; or are they scores (--output_mode regression)?" if NUMBER.fullmatch(str(label)) else ""
            raise UserError(
                f'{text.path}, line {rows[indices[0]].line}: label "{label}" has a single text, which cannot '
                f"be in both train and dev; add rows with it, or give a dev_file{hint}"
            )
        count = max(round(len(indices) * task.dev_share), 1)
        if len(indices) > 1:
            dev += rng.permutation(indices)[: min(count, len(indices) - 1)].tolist()
    if not dev:
        raise UserError(
            f"{text.path}: {len(rows)} different texts are too few to split off a dev set; give a dev_file"
        )
    held_out = {index for group in dev for index in groups[group]}
    train = sorted(set(range(len(text.examples))) - held_out)
    if spec.output_mode == "classification":
        known = {text.examples[index].label for index in train}
        lost = next((row for row in text.examples if row.label and row.label not in known), None)
        if lost:
            raise UserError(
                f'{text.path}, line {lost.line}: label "{lost.label}" is only on texts that other rows label '
                "otherwise, and none of them is left in train; correct these rows, or give a dev_file"
            )
    return train, sorted(held_out)


def _names(example: Example | Sentence, task: TaskSpec) -> Iterable[str]:
    if isinstance(example, Sentence):
        return example.tags or ()
    label = example.label or ""
    return task.names_in(label) if task.output_mode == "multi_label" else [label]


def _sort_key(label: str) -> tuple[bool, float, str]:
    number = float(label) if NUMBER.fullmatch(label) else None
    return number is None, number or 0.0, label


def _label_strata(rows: Sequence[Example], task: TaskSpec) -> dict[str | int | None, list[int]]:
    """{label: indices of its rows}; a multi-label row under its rarest label, None without labels."""
    counts = counts_of(rows, task)
    strata: dict[str | int | None, list[int]] = {label: [] for label in (*task.labels, None)}
    for index, row in enumerate(rows):
        strata[min(_names(row, task), key=counts.__getitem__, default=None)].append(index)
    return {label: indices for label, indices in strata.items() if indices}


def _score_strata(rows: Sequence[Example], share: float) -> dict[str | int | None, np.ndarray]:
    order = np.argsort([float(row.label or 0) for row in rows], kind="stable")
    # Groups in which the smaller side of the split is one row.
    groups = np.array_split(order, max(round(len(rows) * min(share, 1 - share)), 1))
    return {number: group for number, group in enumerate(groups)}


def _subset(text: TextFile, indices: Iterable[int]) -> TextFile:
    return dataclasses.replace(text, examples=[text.examples[index] for index in indices])
