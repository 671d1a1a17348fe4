"""The tasks: one row each, with the columns of GLUE's own files, the labels, the metrics and the recipe.

To add a task, add a row to `_ROWS`; nothing else in the project knows a task by name.
Sources: GLUE (Wang et al. 2018), epochs of the distillation recipe: PaddleNLP's TinyBERT table, copies of the
augmentation: TinyBERT's published script.
"""

import dataclasses

from .errors import UserError, did_you_mean

SINGLE_LENGTH, PAIR_LENGTH = 64, 128
# What a model says of a row: one label of several, any number of them, a score, or a label for each token.
OUTPUT_MODES = ("classification", "multi_label", "regression", "token_classification")
# The label of a token that is not counted: [CLS], [SEP], padding, all pieces of a word but its first.
IGNORE_INDEX = -100


@dataclasses.dataclass(frozen=True)
class TaskSpec:
    """What is to be known of a task.

    text_columns    one or two column names, found in the header of the file
    label_column    the column of the label (class name, or a number for regression)
    output_mode     one of OUTPUT_MODES
    label_separator what stands between the labels of a multi-label row; an empty cell is no label
    columns         the column names of train and dev files without a header (CoLA); empty: there is a header.
                    Test files always have one.
    labels          class names, in the order of the class indices; empty for regression
    unlabelled      a label value that means "no gold label": such rows are left out and counted
    score_range     lowest and highest score of a regression; GLUE's submission files are kept within it
    metrics         names of `src.metrics.METRICS`; `best_metric` decides which checkpoint is best
    recipe          stage -> {config field: value}, used where neither command line nor config module speaks
    """

    name: str
    text_columns: tuple
    label_column: str = "label"
    output_mode: str = "classification"
    label_separator: str = "|"
    columns: tuple = ()
    labels: tuple = ("0", "1")
    unlabelled: str | None = None
    score_range: tuple = ()
    max_seq_length: int = SINGLE_LENGTH
    metrics: tuple = ("accuracy",)
    best_metric: str = "accuracy"
    train_file: str = "train.tsv"
    dev_files: dict = dataclasses.field(default_factory=lambda: {"dev": "dev.tsv"})
    test_files: dict = dataclasses.field(default_factory=lambda: {"test": "test.tsv"})
    recipe: dict = dataclasses.field(default_factory=dict)

    def names_in(self, label):
        """The label names in the cell of a multi-label row; with a blank between them more blanks do too."""
        names = [name.strip() for name in label.split(self.label_separator)] if label else []
        return list(filter(None, names)) if self.label_separator.isspace() else names

    @property
    def files(self):
        """Every record file the task can have, in order: split name -> text file name."""
        return {"train": self.train_file, **self.dev_files, **self.test_files}


def _recipe(phase1_epochs, phase2_epochs=3, copies=20, **distill):
    """Values of each stage; `copies` is TinyBERT's N, `distill` further values of the distillation."""
    return {
        "augment": {"copies": copies},
        "finetune": {"learning_rate": 2e-5, "epoch_size": 3, "batch_size": 32},
        "task_distill": {
            "batch_size": 32,
            "td_phase1_epoch_size": phase1_epochs,
            "td_phase2_epoch_size": phase2_epochs,
            "learning_rate": 5e-5,
            "phase2_learning_rate": 3e-5,
            **distill,
        },
    }


def _pair(name, columns, recipe, **fields):
    return TaskSpec(name, columns, max_seq_length=PAIR_LENGTH, recipe=recipe, **fields)


_ROWS = (
    TaskSpec(
        "CoLA",
        ("sentence",),
        columns=("source", "label", "mark", "sentence"),
        metrics=("matthews_correlation", "accuracy"),
        best_metric="matthews_correlation",
        recipe=_recipe(50, copies=30),
    ),
    TaskSpec("SST-2", ("sentence",), recipe=_recipe(20)),
    _pair(
        "MRPC",
        ("#1 String", "#2 String"),
        _recipe(20, copies=30),
        label_column="Quality",
        metrics=("accuracy", "f1", "acc_and_f1"),
    ),
    # The paper's phase 2 of STS-B learns from the original rows alone.
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
        metrics=("accuracy", "f1", "acc_and_f1"),
    ),
    _pair(
        "MNLI",
        ("sentence1", "sentence2"),
        _recipe(10, copies=10),
        label_column="gold_label",
        unlabelled="-",
        labels=("contradiction", "entailment", "neutral"),
        dev_files={"dev_matched": "dev_matched.tsv", "dev_mismatched": "dev_mismatched.tsv"},
        test_files={
            "test_matched": "test_matched.tsv",
            "test_mismatched": "test_mismatched.tsv",
            "test_diagnostic": "diagnostic.tsv",
        },
    ),
    _pair("QNLI", ("question", "sentence"), _recipe(10), labels=("entailment", "not_entailment")),
    _pair("RTE", ("sentence1", "sentence2"), _recipe(20, copies=30), labels=("entailment", "not_entailment")),
    _pair("WNLI", ("sentence1", "sentence2"), _recipe(20, copies=30)),
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
)

TASKS = {task.name: task for task in _ROWS}


def find_task(name):
    """The TaskSpec called `name`, whatever its case, hyphens and underscores ("sst2", "STS_B").

    Raises UserError with the nearest name when there is none.
    """
    by_key = {task_key(task.name): task for task in _ROWS}
    if task_key(name) in by_key:
        return by_key[task_key(name)]
    known = ", ".join(TASKS)
    raise UserError(f'task_name "{name}" is not one of {known}{did_you_mean(name, TASKS)}')


def for_mode(table, output_mode, what):
    """The entry of a table {output mode: value}; a UserError says that there is no `what` of that mode."""
    if output_mode in table:
        return table[output_mode]
    raise UserError(f"a {output_mode} task has no {what} here; there is one for {', '.join(table)}")


def task_key(name):
    """What names of a task have in common, whatever their case, hyphens and underscores."""
    return str(name).lower().replace("-", "").replace("_", "")
