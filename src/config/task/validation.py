"""What can be wrong with the description of a task of your own, in words."""

import re
from collections import Counter

from ...entities import OUTSIDE, is_tag
from ...errors import did_you_mean
from ...tasks import TASKS, task_key

# Output mode -> the metrics that may choose the best model; without a word of yours it is the first.
METRICS_OF = {
    "classification": ("accuracy", "f1_macro", "matthews_correlation", "f1"),
    "multi_label": ("f1_micro", "f1_macro", "subset_accuracy"),
    "regression": ("pearson", "spearmanr", "corr"),
    "token_classification": ("entity_f1", "entity_precision", "entity_recall"),
}
NAME = re.compile(r"[\w.-]+")
BREAK = re.compile(r"[\t\n\r]")


def _no_rows(own, given):
    if own.train_file:
        return None
    without = ", for dev_file alone is nothing to train on" if own.dev_file else ""
    return f"train_file is needed: the file with the training rows{without}"


def _other_columns(own, given):
    columns = own.text_columns
    if own.by_word:
        wrong = "text_columns are those of a table, a CoNLL file has words and tags; leave it out"
        return wrong if columns else None
    if len(columns) in (1, 2) and len(set(columns)) == len(columns):
        return None
    return f"text_columns names {' and '.join(columns) or 'nothing'}; give one column of text, or two"


def _text_as_label(own, given):
    if own.label_column in own.text_columns:
        return f"label_column {own.label_column} is a column of text too"
    if own.by_word and "label_column" in given:
        return "label_column is that of a table, the tags of a CoNLL file are its last column; leave it out"
    return None


def _no_separator(own, given):
    if own.output_mode != "multi_label" and "label_separator" in given:
        return f"label_separator is for multi_label, the output_mode is {own.output_mode}"
    if BREAK.search(own.label_separator):
        return "label_separator holds a tab or a line break, which answers in lines cannot hold"
    return None if own.label_separator else "label_separator is empty"


def _bad_labels(own, given):
    return complaint_of_labels(own, own.labels) if own.labels else None


def _unknown_metric(own, given):
    known, best = METRICS_OF[own.output_mode], own.best_metric
    if not best or best in known:
        return None
    near = did_you_mean(best, known)
    return f"best_metric {best} is not one of {', '.join(known)}, those of {own.output_mode}{near}"


def _two_splits(own, given):
    named = [key for key in ("dev_share", "split_seed") if key in given]
    if own.dev_file and named:
        return f"there is a dev_file and {named[0]} for a split too; leave one of them out"
    return None


def _bad_name(own, given):
    if not NAME.fullmatch(own.task_name):
        return f'task_name "{own.task_name}" is no name; take letters, digits, ".", "_" and "-"'
    if task_key(own.task_name) in map(task_key, TASKS):
        return f"task_name {own.task_name} is a task with files of its own; take another name"
    return None


# Key to be named -> function of (CustomTask, keys that were given): what is wrong in words, or None.
CHECKS = {
    "train_file": _no_rows,
    "text_columns": _other_columns,
    "label_column": _text_as_label,
    "label_separator": _no_separator,
    "labels": _bad_labels,
    "best_metric": _unknown_metric,
    "dev_file": _two_splits,
    "task_name": _bad_name,
}


def complaint_of_labels(own, labels):
    """What is wrong with `labels` for an CustomTask, in words, or None."""
    if own.output_mode == "regression":
        return "labels are of classes, a regression has scores; leave them out" if labels else None
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        return f'the label "{twice[0]}" is there twice'
    if not all(label and label.strip() == label for label in labels):
        return "a label is empty, or begins or ends with a blank"
    broken = [label for label in labels if BREAK.search(label)]
    if broken:
        return f"the label {broken[0]!r} holds a tab or a line break, which answers in lines cannot hold"
    parted = [label for label in labels if own.label_separator in label]
    if parted and own.output_mode == "multi_label":
        return f'the label "{parted[0]}" holds the label_separator {own.label_separator}'
    strange = [label for label in labels if not is_tag(label)]
    if own.by_word and (strange or OUTSIDE not in labels):
        return f"{strange[0] if strange else 'without O the labels'} is no BIO; write O, B-type and I-type"
    if len(labels) < 2:
        return f"there is {'only the label ' + labels[0] if labels else 'no label'}; two or more are needed"
    return None
