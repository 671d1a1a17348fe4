"""Validators of a custom task's description, one for each key to be named in the error message."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING

from ...entities import OUTSIDE, is_tag
from ...errors import did_you_mean
from ...tasks import TASKS, task_key

if TYPE_CHECKING:
    from .custom import CustomTask

# Output mode -> the metrics that can select the best model, the default first.
METRICS_OF = {
    "classification": ("accuracy", "f1_macro", "matthews_correlation", "f1"),
    "multi_label": ("f1_micro", "f1_macro", "subset_accuracy"),
    "regression": ("pearson", "spearmanr", "corr"),
    "token_classification": ("entity_f1", "entity_precision", "entity_recall"),
}
NAME = re.compile(r"[\w.-]+")
BREAK = re.compile(r"[\t\n\r]")


def _train_file(task: CustomTask, given: Container[str]) -> str | None:
    if task.train_file or task.unlabelled_file:
        return None
    dev_only = ", dev_file alone is not enough" if task.dev_file else ""
    return f"train_file is required: the file with the training rows{dev_only}"


def _unlabelled_file(task: CustomTask, given: Container[str]) -> str | None:
    if task.by_word and task.unlabelled_file:
        return "unlabelled_file does not apply to token classification, whose texts are words; remove it"
    return None


def _text_columns(task: CustomTask, given: Container[str]) -> str | None:
    columns = task.text_columns
    if task.by_word:
        return "text_columns does not apply to CoNLL files; remove it" if columns else None
    if len(columns) in (1, 2) and len(set(columns)) == len(columns):
        return None
    return f"text_columns names {' and '.join(columns) or 'nothing'}; give one or two text columns"


def _label_column(task: CustomTask, given: Container[str]) -> str | None:
    if task.label_column in task.text_columns:
        return f"label_column {task.label_column} is also a text column"
    if task.by_word and "label_column" in given:
        return "label_column does not apply to CoNLL files, whose last column holds the tags; remove it"
    return None


def _label_separator(task: CustomTask, given: Container[str]) -> str | None:
    if task.output_mode != "multi_label" and "label_separator" in given:
        return f"label_separator requires output_mode multi_label, not {task.output_mode}"
    if BREAK.search(task.label_separator):
        return "label_separator contains a tab or a line break, which separate predictions"
    return None if task.label_separator else "label_separator is empty"


def _labels(task: CustomTask, given: Container[str]) -> str | None:
    return label_error(task, task.labels) if task.labels else None


def _best_metric(task: CustomTask, given: Container[str]) -> str | None:
    known, best = METRICS_OF[task.output_mode], task.best_metric
    if not best or best in known:
        return None
    near = did_you_mean(best, known)
    return f"best_metric {best} is not one of {', '.join(known)} for {task.output_mode}{near}"


def _dev_file(task: CustomTask, given: Container[str]) -> str | None:
    named = [key for key in ("dev_share", "split_seed") if key in given]
    if task.dev_file and named:
        return f"dev_file and {named[0]} are mutually exclusive"
    return None


def _task_name(task: CustomTask, given: Container[str]) -> str | None:
    if not NAME.fullmatch(task.task_name):
        return f'task_name "{task.task_name}" is invalid; use letters, digits, ".", "_" and "-"'
    if task_key(task.task_name) in map(task_key, TASKS):
        return f"task_name {task.task_name} is a built-in task; use another name"
    return None


# Key -> function of (CustomTask, keys given): the error message, or None.
CHECKS: dict[str, Callable[[CustomTask, Container[str]], str | None]] = {
    "train_file": _train_file,
    "unlabelled_file": _unlabelled_file,
    "text_columns": _text_columns,
    "label_column": _label_column,
    "label_separator": _label_separator,
    "labels": _labels,
    "best_metric": _best_metric,
    "dev_file": _dev_file,
    "task_name": _task_name,
}


def label_error(task: CustomTask, labels: Sequence[str]) -> str | None:
    """Why `labels` do not fit a CustomTask, or None."""
    if task.output_mode == "regression":
        return "labels do not apply to a regression; remove them" if labels else None
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    if repeated:
        return f'duplicate label "{repeated[0]}"'
    if not all(label and label.strip() == label for label in labels):
        return "a label is empty, or begins or ends with a space"
    broken = [label for label in labels if BREAK.search(label)]
    if broken:
        return f"label {broken[0]!r} contains a tab or a line break, which separate predictions"
    joined = [label for label in labels if task.label_separator in label]
    if joined and task.output_mode == "multi_label":
        return f'label "{joined[0]}" contains the label_separator {task.label_separator}'
    invalid = [label for label in labels if not is_tag(label)]
    if task.by_word and (invalid or OUTSIDE not in labels):
        found = f"{invalid[0]} is not a BIO tag" if invalid else f"the tag {OUTSIDE} is missing"
        return f"{found}; use O, B-type and I-type"
    if len(labels) < 2:
        return f"{'only the label ' + labels[0] if labels else 'no label'} found; at least two are required"
    return None
