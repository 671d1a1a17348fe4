"""The task table, compared with GLUE and the published recipes."""

import dataclasses
import re
from pathlib import Path

import pytest

from src.entities import tag_set
from src.errors import UserError
from src.metrics import METRICS
from src.tasks import TASKS, TaskSpec, find_task

PHASE1_EPOCHS = {
    "SST-2": 20,
    "QQP": 10,
    "MRPC": 20,
    "CoLA": 50,
    "STS-B": 20,
    "RTE": 20,
    "MNLI": 10,
    "QNLI": 10,
    "WNLI": 20,
}
# N of TinyBERT's published augmentation; WNLI, which has none, uses that of the small tasks.
COPIES = {
    "CoLA": 30,
    "MRPC": 30,
    "STS-B": 30,
    "RTE": 30,
    "WNLI": 30,
    "SST-2": 20,
    "QNLI": 20,
    "MNLI": 10,
    "QQP": 10,
}


@pytest.mark.parametrize(
    "spelling, name",
    [
        ("SST-2", "SST-2"),
        ("sst2", "SST-2"),
        ("SST_2", "SST-2"),
        ("COLA", "CoLA"),
        ("stsb", "STS-B"),
        ("mnli", "MNLI"),
        ("Sample", "sample"),
    ],
)
def test_task_names_ignore_case_and_punctuation(spelling, name):
    assert find_task(spelling).name == name


def test_unknown_task_suggests_the_nearest_name():
    with pytest.raises(UserError, match='did you mean "SST-2"'):
        find_task("SST-3")


@pytest.mark.parametrize("name, epochs", PHASE1_EPOCHS.items())
def test_recipes(name, epochs):
    recipe = TASKS[name].recipe
    assert recipe["finetune"] == {"epoch_size": 3, "batch_size": 32}
    original_rows = {"phase2_augmented": False} if name == "STS-B" else {}
    assert recipe["task_distill"] == {
        "batch_size": 32,
        "td_phase1_epoch_size": epochs,
        "td_phase2_epoch_size": 3,
        **original_rows,
    }
    assert recipe["augment"] == {"copies": COPIES[name]}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_is_complete(task):
    assert len(task.text_columns) in (1, 2)
    clue = task.name in ("TNEWS", "CLUENER")  # 128 tokens there, as in the model zoo
    assert task.max_seq_length == (128 if clue else {1: 64, 2: 128}[len(task.text_columns)])
    assert task.best_metric in task.metrics and set(task.metrics) <= set(METRICS)
    tokens = "token_classification"
    others = {"STS-B": "regression", "sample-ner": tokens, "CLUENER": tokens}
    assert task.output_mode == others.get(task.name, "classification")
    suffix = ".json" if clue else ".txt" if task.output_mode == tokens else ".tsv"
    assert list(task.files)[0] == "train" and all(name.endswith(suffix) for name in task.files.values())


def test_the_labels_of_clue():
    # CLUE's own processors: the codes 100 to 116 without 105 and 111; O, B- and I- of ten types.
    assert TASKS["TNEWS"].labels == tuple(
        "100 101 102 103 104 106 107 108 109 110 112 113 114 115 116".split()
    )
    assert len(TASKS["CLUENER"].labels) == 2 * 10 + 1 and TASKS["CLUENER"].labels == tag_set(
        f"B-{kind}"
        for kind in "address book company game government movie name organization position scene".split()
    )


def test_special_columns_labels_and_metrics():
    assert TASKS["CoLA"].columns == ("source", "label", "mark", "sentence")
    assert TASKS["MNLI"].labels == ("contradiction", "entailment", "neutral")
    assert list(TASKS["MNLI"].dev_files) == ["dev_matched", "dev_mismatched"]
    assert TASKS["QNLI"].labels == TASKS["RTE"].labels == ("entailment", "not_entailment")
    assert TASKS["MRPC"].best_metric == TASKS["QQP"].best_metric == "accuracy"


def test_the_documented_fields_are_those_of_a_task():
    page = Path(__file__).parents[1] / "docs" / "prepare.md"
    table = page.read_text().partition("| field | meaning |")[2].partition("\n\n")[0]
    names = {name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split(" | ")[0])}
    assert names == {field.name for field in dataclasses.fields(TaskSpec)}
