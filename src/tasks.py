"""Task registry: columns of GLUE's files, labels, metrics and training recipe of each task.

To add a task, add an entry to `_SPECS`; no other module refers to a task by name.
Sources: GLUE (Wang et al. 2018), PaddleNLP's TinyBERT table (distillation epochs), TinyBERT's published
script (augmentation copies).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import UserError, did_you_mean

SINGLE_LENGTH, PAIR_LENGTH = 64, 128
ENTAILMENT = ("entailment", "not_entailment")
# One class per row, any number of labels per row, a score per row, one label per token.
OUTPUT_MODES = ("classification", "multi_label", "regression", "token_classification")
# Label of tokens that loss and metrics ignore: [CLS], [SEP], padding, every token of a word but its first.
IGNORE_INDEX = -100
# The model zoo's name of a metric -> output mode -> ours. Its F1 of tokens is binary (part of an entity or of
# none: bf1) or counts every tag alike (mf1), which for one class per row or token is the accuracy.
ASSESSMENTS: dict[str, dict[str, str]] = {
    "accuracy": {
        "classification": "accuracy",
        "multi_label": "subset_accuracy",
        "token_classification": "token_accuracy",
    },
    "f1": {"classification": "f1", "multi_label": "f1_micro", "token_classification": "entity_f1"},
    "bf1": {"classification": "f1", "token_classification": "token_f1"},
    "mf1": {
        "classification": "f1_micro",
        "multi_label": "f1_micro",
        "token_classification": "token_f1_micro",
    },
    "mcc": {"classification": "matthews_correlation"},
    "spearman_correlation": {"regression": "spearmanr"},
}
Recipe = dict[str, dict[str, int | float]]
Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """Definition of a task.

    text_columns    one or two column names in the file's header
    label_column    column of the label (class name, or a number for regression)
    output_mode     one of OUTPUT_MODES
    label_separator separator between the labels of a multi-label row; an empty cell means no label
    columns         column names of train and dev files without a header (CoLA); empty: the files have one.
                    Test files always have a header.
    labels          class names in the order of the class indices; empty for regression
    hub_labels      their names in GLUE's data set on the Hugging Face hub, in the order of its class indices
    unlabeled       label value that means "no gold label": such rows are skipped and counted
    score_range     lowest and highest score of a regression task; GLUE submissions are clipped to it
    metrics         names from `src.metrics.METRICS`; `best_metric` selects the best checkpoint
    recipe          stage -> {config field: value}, defaults below the command line and the config module
    """

    name: str
    text_columns: tuple[str, ...]
    label_column: str = "label"
    output_mode: str = "classification"
    label_separator: str = "|"
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ("0", "1")
    hub_labels: tuple[str, ...] = ()
    unlabeled: str | None = None
    score_range: tuple[float, ...] = ()
    max_seq_length: int = SINGLE_LENGTH
    metrics: tuple[str, ...] = ("accuracy",)
    best_metric: str = "accuracy"
    train_file: str = "train.tsv"
    dev_files: dict[str, str] = dataclasses.field(default_factory=lambda: {"dev": "dev.tsv"})
    test_files: dict[str, str] = dataclasses.field(default_factory=lambda: {"test": "test.tsv"})
    recipe: Recipe = dataclasses.field(default_factory=dict)

    def names_in(self, label: str) -> list[str]:
        """Label names in the cell of a multi-label row; a whitespace separator matches any run of it."""
        names = [name.strip() for name in label.split(self.label_separator)] if label else []
        return list(filter(None, names)) if self.label_separator.isspace() else names

    def label_indices(self) -> dict[str, int]:
        """{name: index} of the labels under each of their names, as `label_key` writes them."""
        indices = {label_key(label): i for i, label in enumerate(self.labels)}
        for number, name in enumerate(self.hub_labels):
            # Labels that are numbers are those of the hub.
            index = indices.setdefault(label_key(name), number)
            indices.setdefault(str(number), index)
        return indices

    @property
    def files(self) -> dict[str, str]:
        """Split name -> text file name for every split of the task, in order."""
        return {"train": self.train_file, **self.dev_files, **self.test_files}


def _recipe(phase1_epochs: int, phase2_epochs: int = 3, copies: int = 20, **distill: int | float) -> Recipe:
    """Defaults of each stage; `copies` is TinyBERT's N, `distill` further values for task distillation."""
    return {
        "augment": {"copies": copies},
        "finetune": {"epoch_size": 3, "batch_size": 32},
        "task_distill": {
            "batch_size": 32,
            "td_phase1_epoch_size": phase1_epochs,
            "td_phase2_epoch_size": phase2_epochs,
            **distill,
        },
    }


def _pair(name: str, columns: tuple[str, ...], recipe: Recipe, **fields: Any) -> TaskSpec:
    return TaskSpec(name, columns, max_seq_length=PAIR_LENGTH, recipe=recipe, **fields)


# CLUE's tasks (Xu et al. 2020) that the model zoo's TinyBERT has: JSON lines, in Chinese.
_CLUE_FILES: dict[str, Any] = {
    "max_seq_length": PAIR_LENGTH,
    "train_file": "train.json",
    "dev_files": {"dev": "dev.json"},
    "test_files": {"test": "test.json"},
    "recipe": _recipe(10),
}
_CLUENER_TYPES = (
    "address",
    "book",
    "company",
    "game",
    "government",
    "movie",
    "name",
    "organization",
    "position",
    "scene",
)
_CLUE = (
    TaskSpec(
        "TNEWS",
        ("sentence",),
        labels=tuple(str(code) for code in range(100, 117) if code not in (105, 111)),
        **_CLUE_FILES,
    ),
    TaskSpec(
        "CLUENER",
        ("text",),
        output_mode="token_classification",
        labels=("O", *(f"{begin}{kind}" for kind in _CLUENER_TYPES for begin in ("B-", "I-"))),
        metrics=("entity_f1", "entity_precision", "entity_recall"),
        best_metric="entity_f1",
        **_CLUE_FILES,
    ),
)

_SPECS = (
    TaskSpec(
        "CoLA",
        ("sentence",),
        hub_labels=("unacceptable", "acceptable"),
        columns=("source", "label", "mark", "sentence"),
        metrics=("matthews_correlation", "accuracy"),
        best_metric="matthews_correlation",
        recipe=_recipe(50, copies=30),
    ),
    TaskSpec("SST-2", ("sentence",), hub_labels=("negative", "positive"), recipe=_recipe(20)),
    _pair(
        "MRPC",
        ("#1 String", "#2 String"),
        _recipe(20, copies=30),
        label_column="Quality",
        hub_labels=("not_equivalent", "equivalent"),
        metrics=("accuracy", "f1", "acc_and_f1"),
    ),
    # As in the paper, phase 2 of STS-B trains on the original rows alone.
    _pair(
        "STS-B",
        ("sentence1", "sentence2"),
        _recipe(20, copies=30, phase2_augmented=False),
        label_column="score",
        output_mode="regression",
        labels=(),
        score_range=(0.0, 5.0),
        metrics=("pearson", "spearmanr", "corr"),
        best_metric="pearson",
    ),
    _pair(
        "QQP",
        ("question1", "question2"),
        _recipe(10, copies=10),
        label_column="is_duplicate",
        hub_labels=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1", "acc_and_f1"),
    ),
    _pair(
        "MNLI",
        ("sentence1", "sentence2"),
        _recipe(10, copies=10),
        label_column="gold_label",
        unlabeled="-",
        labels=("contradiction", "entailment", "neutral"),
        hub_labels=("entailment", "neutral", "contradiction"),
        dev_files={"dev_matched": "dev_matched.tsv", "dev_mismatched": "dev_mismatched.tsv"},
        test_files={
            "test_matched": "test_matched.tsv",
            "test_mismatched": "test_mismatched.tsv",
            "test_diagnostic": "diagnostic.tsv",
        },
    ),
    _pair("QNLI", ("question", "sentence"), _recipe(10), labels=ENTAILMENT, hub_labels=ENTAILMENT),
    _pair(
        "RTE", ("sentence1", "sentence2"), _recipe(20, copies=30), labels=ENTAILMENT, hub_labels=ENTAILMENT
    ),
    _pair("WNLI", ("sentence1", "sentence2"), _recipe(20, copies=30), hub_labels=ENTAILMENT[::-1]),
    # The built-in task of src/data/samples/sentiment.py, in SST-2's format.
    TaskSpec("sample", ("sentence",), recipe=_recipe(20, 5)),
    # The built-in task of src/data/samples/ner.py, in CoNLL's format.
    TaskSpec(
        "sample-ner",
        ("word",),
        label_column="tag",
        output_mode="token_classification",
        labels=("O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"),
        metrics=("entity_f1", "entity_precision", "entity_recall"),
        best_metric="entity_f1",
        train_file="train.txt",
        dev_files={"dev": "dev.txt"},
        test_files={"test": "test.txt"},
        recipe=_recipe(10, 5),
    ),
    *_CLUE,
)

TASKS = {task.name: task for task in _SPECS}


def find_task(name: str) -> TaskSpec:
    """Look up a TaskSpec by name, ignoring case, hyphens and underscores ("sst2", "STS_B").

    Raises UserError, with the closest match, for an unknown name.
    """
    by_key = {task_key(task.name): task for task in _SPECS}
    if task_key(name) in by_key:
        return by_key[task_key(name)]
    known = ", ".join(TASKS)
    raise UserError(f'task_name "{name}" is not one of {known}{did_you_mean(name, TASKS)}')


def for_mode(table: Mapping[str, Value], output_mode: str, what: str) -> Value:
    """Look up {output mode: value}; raises UserError that names `what` for an unsupported mode."""
    if output_mode in table:
        return table[output_mode]
    raise UserError(f"a {output_mode} task has no {what} here; supported are {', '.join(table)}")


def label_key(name: str) -> str:
    """Label name for comparison: lower case, with underscores."""
    return name.lower().replace("-", "_").replace(" ", "_")


def task_key(name: str) -> str:
    """Normalized task name: lower case, without hyphens and underscores."""
    return str(name).lower().replace("-", "").replace("_", "")
