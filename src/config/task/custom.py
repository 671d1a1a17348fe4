"""A task of your own: its description in a task file or in flags of prepare.

Each key of a task file is the flag of the same name.
"""

import dataclasses
from pathlib import Path

from ...errors import UserError
from ...tasks import PAIR_LENGTH, SINGLE_LENGTH, TASKS, TaskSpec
from ..fields import NOT_NEGATIVE, flag
from .file import TaskFile, read_task_file
from .validation import CHECKS, METRICS_OF, complaint_of_labels

# What the columns of a CoNLL file, which have no names, are called.
WORD, TAG = ("word",), "tag"
PART = ("above 0 and below 1", lambda value: 0 < value < 1)
# What a manifest carries; the rest is of use to prepare alone.
CARRIED = (
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
    """A task of your own, as a task file and flags describe it."""

    task_name: str = flag("", "the task's name (default: that of the task file, else of train_file)")
    train_file: str = flag("", "file with the training rows: .tsv, .csv or .jsonl; CoNLL for tags")
    dev_file: str = flag("", "file with the evaluation rows (default: a share of train_file is split off)")
    test_file: str = flag("", "file with further rows, with or without labels")
    text_columns: tuple = flag((), "names of the one or two columns of text")
    label_column: str = flag("label", "name of the column of the label, or of the score")
    output_mode: str = flag(
        "classification",
        "what a row is given: one label, any number of labels, a score, or a tag for each word (CoNLL files)",
        tuple(METRICS_OF),
    )
    labels: tuple = flag((), "the labels in the model's order (default: those of train_file, sorted)")
    label_separator: str = flag("|", "what stands between the labels of one row in multi_label")
    best_metric: str = flag(
        "", "the metric that chooses the best model (default: accuracy, f1_micro, pearson or entity_f1)"
    )
    max_seq_length: int = flag(
        0,
        "tokens a row, with [CLS] and [SEP]; 0: the task's own (64; pairs and tags 128)",
        check=NOT_NEGATIVE,
    )
    dev_share: float = flag(0.1, "share of train_file split off where no dev_file is given", check=PART)
    split_seed: int = flag(1, "of that split", check=NOT_NEGATIVE)

    @property
    def makes_dev(self):
        """Whether the evaluation rows are split off the training rows."""
        return not self.dev_file

    @property
    def by_word(self):
        """Whether each word has a tag, and the files are in CoNLL's form."""
        return self.output_mode == "token_classification"

    def with_labels(self, labels):
        """A copy whose labels are known. Raises UserError where they do not suit the task."""
        complaint = complaint_of_labels(self, labels)
        if complaint:
            raise UserError(f"{self.train_file}, column {self.spec().label_column}: {complaint}")
        if self.best_metric == "f1" and len(labels) != 2:
            raise UserError(
                f"best_metric f1 is of two labels, and {self.task_name} has {len(labels)}; take f1_macro"
            )
        return dataclasses.replace(self, labels=tuple(labels))

    def spec(self):
        """The TaskSpec of this task; its recipe is SST-2's."""
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

    def _metrics(self, best):
        metrics = METRICS_OF[self.output_mode]
        if self.output_mode == "classification":
            metrics = metrics[:1] if len(self.labels) == 2 else metrics[:2]
        return metrics if best in metrics else (*metrics, best)

    def carried(self):
        """{key: JSON value} for the manifest of its records."""
        return {
            name: list(value) if isinstance(value := getattr(self, name), tuple) else value
            for name in CARRIED
        }


FIELDS = {field.name: field for field in dataclasses.fields(CustomTask)}


def custom_task(task_file, given):
    """The CustomTask of a task file (empty: none) and `given` {flag: value}, which wins (not train_file).

    Where the task file names a train_file, rows for dev are split off that one whatever the flag says, which
    then names the rows to train on. Raises UserError for keys that are unknown, lacking or in contradiction.
    """
    file = read_task_file(task_file, FIELDS) if task_file else TaskFile("", {}, {})
    values = {**file.values, **given}
    if file.values.get("train_file"):
        values["train_file"] = file.values["train_file"]
    if not values.get("task_name"):
        values["task_name"] = Path(task_file or values.get("train_file", "")).stem
    own = CustomTask(**values)
    for key, check in CHECKS.items():
        complaint = check(own, values)
        if complaint:
            raise UserError(f"{file.place(key, key in given)}: {complaint}")
    return own
