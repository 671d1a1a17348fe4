"""A task of your own: its description in a task file or in flags of prepare, and how its records carry it.

Each key of a task file is the flag of the same name. What later stages need of it stands in the manifest of
the records, so that they are told of no task.
"""

import dataclasses
import re
from collections import Counter
from pathlib import Path

from src.config.options import NOT_NEGATIVE, option
from src.config.task_file import TaskFile, read_task_file
from src.entities import OUTSIDE, is_tag
from src.errors import UserError, did_you_mean
from src.files import read_json
from src.tasks import PAIR_LENGTH, SINGLE_LENGTH, TASKS, TaskSpec, find_task, task_key

# Output mode -> the metrics that may choose the best model; without a word of yours it is the first.
METRICS_OF = {
    "classification": ("accuracy", "f1_macro", "matthews_correlation", "f1"),
    "multi_label": ("f1_micro", "f1_macro", "subset_accuracy"),
    "regression": ("pearson", "spearmanr", "corr"),
    "token_classification": ("entity_f1", "entity_precision", "entity_recall"),
}
# What the columns of a CoNLL file, which have no names, are called.
WORD, TAG = ("word",), "tag"
PART = ("above 0 and below 1", lambda value: 0 < value < 1)
MANIFEST_FILE, MANIFEST_KEY = "manifest.json", "own_task"
# What a manifest carries; the rest is of use to prepare alone.
CARRIED = ("task_name", "text_columns", "label_column", "output_mode", "labels", "label_separator",
           "best_metric", "max_seq_length")
NAME = re.compile(r"[\w.-]+")
BREAK = re.compile(r"[\t\n\r]")


@dataclasses.dataclass(frozen=True)
class OwnTask:
    """A task of your own, as a task file and flags describe it."""

    task_name: str = option("", "the task's name (default: that of the task file, else of train_file)")
    train_file: str = option("", "file with the training rows: .tsv, .csv or .jsonl; CoNLL for tags")
    dev_file: str = option("", "file with the evaluation rows (default: a share of train_file is split off)")
    test_file: str = option("", "file with further rows, with or without labels")
    text_columns: tuple = option((), "names of the one or two columns of text")
    label_column: str = option("label", "name of the column of the label, or of the score")
    output_mode: str = option(
        "classification",
        "what a row is given: one label, any number of labels, a score, or a tag for each word (CoNLL files)",
        tuple(METRICS_OF),
    )
    labels: tuple = option((), "the labels in the model's order (default: those of train_file, sorted)")
    label_separator: str = option("|", "what stands between the labels of one row in multi_label")
    best_metric: str = option(
        "", "the metric that chooses the best model (default: accuracy, f1_micro, pearson or entity_f1)"
    )
    max_seq_length: int = option(
        0, "tokens a row, with [CLS] and [SEP]; 0: the task's own (64; pairs and tags 128)", must=NOT_NEGATIVE
    )
    dev_share: float = option(0.1, "share of train_file split off where no dev_file is given", must=PART)
    split_seed: int = option(1, "of that split", must=NOT_NEGATIVE)

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
        complaint = _complaint_of_labels(self, labels)
        if complaint:
            raise UserError(f"{self.train_file}, column {self.spec().label_column}: {complaint}")
        if self.best_metric == "f1" and len(labels) != 2:
            raise UserError(f"best_metric f1 is of two labels, and {self.task_name} has {len(labels)}; take "
                            "f1_macro")
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
        return {name: list(value) if isinstance(value := getattr(self, name), tuple) else value
                for name in CARRIED}


FIELDS = {field.name: field for field in dataclasses.fields(OwnTask)}


def own_task(task_file, given):
    """The OwnTask of a task file (empty: none) and of `given` {flag: value}, which wins but for train_file.

    Where the task file names a train_file, rows for dev are split off that one whatever the flag says, which
    then names the rows to train on. Raises UserError for keys that are unknown, lacking or in contradiction.
    """
    file = read_task_file(task_file, FIELDS) if task_file else TaskFile("", {}, {})
    values = {**file.values, **given}
    if file.values.get("train_file"):
        values["train_file"] = file.values["train_file"]
    if not values.get("task_name"):
        values["task_name"] = Path(task_file or values.get("train_file", "")).stem
    own = OwnTask(**values)
    for key, check in CHECKS.items():
        complaint = check(own, values)
        if complaint:
            raise UserError(f"{file.place(key, key in given)}: {complaint}")
    return own


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
    return _complaint_of_labels(own, own.labels) if own.labels else None


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


# Key to be named -> function of (OwnTask, keys that were given): what is wrong in words, or None.
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


def _complaint_of_labels(own, labels):
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


# Later stages


def task_for(known):
    """The TaskSpec that flags {name: value} mean: GLUE's of task_name, or that which their records carry.

    Looked at are train_data_dir and eval_data_dir. Raises UserError for an unknown task_name, and for one
    that is not that of the records.
    """
    name = known.get("task_name", "")
    paths = [known.get(flag) for flag in ("train_data_dir", "eval_data_dir")]
    place = next((folder for folder in map(_folder_of, filter(None, paths)) if _carried(folder)), None)
    if place is None and not name:
        raise UserError("--task_name is required: a GLUE task, or sample; only records of a task of your "
                        "own name it themselves")
    if place is None:
        return find_task(name)
    task = spec_of(_carried(place), place / MANIFEST_FILE)
    if name and task_key(name) != task_key(task.name):
        raise UserError(f"--task_name {name} contradicts the records in {place}, which are of {task.name}; "
                        "leave it out")
    return task


def spec_of(carried, source):
    """The TaskSpec of what a manifest carries; `source` is its path. Raises UserError for anything else."""
    try:
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in carried.items()}
        return OwnTask(**values).spec()
    except (AttributeError, KeyError, TypeError, IndexError):
        raise UserError(f"{source}: {MANIFEST_KEY} is damaged; prepare the records again") from None


def _folder_of(path):
    # A data flag is a file, a comma list of files, or a folder.
    first = Path(str(path).split(",")[0].strip())
    return first if first.is_dir() else first.parent


def _carried(folder):
    file = folder / MANIFEST_FILE
    manifest = read_json(file) if file.is_file() else None
    return manifest.get(MANIFEST_KEY) if isinstance(manifest, dict) else None
