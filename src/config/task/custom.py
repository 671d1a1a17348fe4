"""A custom task: its description in a task file, or in flags of prepare.

Each key of a task file is the flag of the same name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ...errors import UserError
from ...tasks import PAIR_LENGTH, SINGLE_LENGTH, TASKS, TaskSpec
from ..fields import NOT_NEGATIVE, Check, flag
from .file import TaskFile, read_task_file
from .validation import CHECKS, METRICS_OF, label_error

PLAIN_TEXT = ".txt"  # suffix of files of one text a line, which have no columns
# Column names of a CoNLL file, which has no header.
WORD, TAG = ("word",), "tag"
PART: Check = ("above 0 and below 1", lambda value: 0 < value < 1)
# Fields stored in the manifest of the records; only prepare needs the others.
MANIFEST_FIELDS = (
    "task_name",
    "text_columns",
    "label_column",
    "output_mode",
    "labels",
    "label_separator",
    "best_metric",
    "max_seq_length",
)


@dataclasses.dataclass(frozen=True)
class CustomTask:
    """A custom task, as described by a task file and flags."""

    GROUP: ClassVar[str] = "data"

    task_name: str = flag("", "task name (default: the name of the task file, else of train_file)")
    train_file: str = flag("", "training rows: .tsv, .csv or .jsonl; CoNLL for token classification")
    dev_file: str = flag("", "evaluation rows (default: split off train_file)")
    test_file: str = flag("", "test rows, with or without labels")
    unlabelled_file: tuple[str, ...] = flag(
        (),
        "texts without labels, for distillation: .txt (one a line, pairs separated by a tab), or .tsv, .csv "
        "and .jsonl with the text columns",
        alias="unlabeled_file",
    )
    text_columns: tuple[str, ...] = flag((), "names of the one or two text columns")
    label_column: str = flag("label", "name of the label (or score) column")
    output_mode: str = flag(
        "classification",
        "task type: single-label, multi-label, regression, or token classification (CoNLL files)",
        tuple(METRICS_OF),
    )
    labels: tuple[str, ...] = flag(
        (),
        "labels in index order (default: those of train_file, sorted; without labeled rows those of the "
        "classifier in vocab_file)",
    )
    label_separator: str = flag("|", "separator between the labels of a multi_label row")
    best_metric: str = flag(
        "", "metric that selects the best model (default: accuracy, f1_micro, pearson or entity_f1)"
    )
    max_seq_length: int = flag(
        0,
        "maximum sequence length, with [CLS] and [SEP] (0: the task's; 64, or 128 for pairs and tags)",
        check=NOT_NEGATIVE,
    )
    dev_share: float = flag(
        0.1,
        "fraction of train_file (without one, of unlabelled_file) to split off without a dev_file",
        check=PART,
    )
    split_seed: int = flag(1, "random seed of that split", check=NOT_NEGATIVE)

    @property
    def makes_dev(self) -> bool:
        """Whether the evaluation rows are split off the training rows."""
        return not self.dev_file

    @property
    def by_word(self) -> bool:
        """Whether each word has a tag, and the files are in CoNLL format."""
        return self.output_mode == "token_classification"

    def with_labels(self, labels: Sequence[str]) -> CustomTask:
        """A copy with these labels. Raises UserError if they do not fit the task."""
        error = label_error(self, labels)
        if error:
            file = self.train_file or self.dev_file
            place = f"{file}, column {self.spec().label_column}" if file else "--labels"
            raise UserError(f"{place}: {error}")
        if self.best_metric == "f1" and len(labels) != 2:
            raise UserError(
                f"best_metric f1 requires two labels, but {self.task_name} has {len(labels)}; use f1_macro"
            )
        return dataclasses.replace(self, labels=tuple(labels))

    def spec(self) -> TaskSpec:
        """The TaskSpec of this task, with SST-2's recipe."""
        best = self.best_metric or METRICS_OF[self.output_mode][0]
        long = self.by_word or len(self.text_columns) > 1
        return TaskSpec(
            self.task_name,
            WORD if self.by_word else self.text_columns,
            label_column=TAG if self.by_word else self.label_column,
            output_mode=self.output_mode,
            label_separator=self.label_separator,
            labels=self.labels,
            max_seq_length=self.max_seq_length or (PAIR_LENGTH if long else SINGLE_LENGTH),
            metrics=self._metrics(best),
            best_metric=best,
            recipe=TASKS["SST-2"].recipe,
        )

    def _metrics(self, best: str) -> tuple[str, ...]:
        metrics = METRICS_OF[self.output_mode]
        if self.output_mode == "classification":
            metrics = metrics[:1] if len(self.labels) == 2 else metrics[:2]
        return metrics if best in metrics else (*metrics, best)

    def to_manifest(self) -> dict[str, Any]:
        """{key: JSON value} for the manifest of its records."""
        return {
            name: list(value) if isinstance(value := getattr(self, name), tuple) else value
            for name in MANIFEST_FIELDS
        }


FIELDS = {field.name: field for field in dataclasses.fields(CustomTask)}


def custom_task(task_file: str | Path, given: Mapping[str, Any]) -> CustomTask:
    """The CustomTask of a task file (empty: none) and the flags `given` {name: value}, which override it.

    The exception is train_file: dev rows are split off the file named in the task file, and the flag names
    the rows to train on. Raises UserError for unknown, missing or contradictory keys.
    """
    file = read_task_file(task_file, FIELDS) if task_file else TaskFile("", {}, {})
    values = {**file.values, **given}
    if file.values.get("train_file"):
        values["train_file"] = file.values["train_file"]
    unlabeled = values.get("unlabelled_file", ())
    if not values.get("task_name"):
        first = values.get("train_file") or next(iter(unlabeled), "")
        values["task_name"] = Path(task_file or first).stem
    columns = ("text_columns", "train_file", "dev_file", "test_file")
    if not any(values.get(name) for name in columns) and unlabeled:
        if all(Path(path).suffix == PLAIN_TEXT for path in unlabeled):
            values["text_columns"] = ("text",)
    own = CustomTask(**values)
    for key, check in CHECKS.items():
        error = check(own, values)
        if error:
            raise UserError(f"{file.place(key, key in given)}: {error}")
    return own
