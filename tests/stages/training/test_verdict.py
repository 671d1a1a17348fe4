"""What a run says at its end, and the warnings: given numbers and rows, on both sides of each limit."""

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from src.config.td_config import TaskDistillConfig
from src.data.dataset import TokenizedDataset
from src.stages.training.verdict import (
    NEXT,
    TeacherResult,
    contradicts_labels,
    log_data_warnings,
    majority_metric,
    model_warnings,
    trend_warning,
    verdict,
)
from src.tasks import IGNORE_INDEX, find_task

SST2, COLA = find_task("SST-2"), find_task("CoLA")
TAGS = find_task("sample-ner")
MANY = dataclasses.replace(
    SST2, output_mode="multi_label", labels=("a", "b"), metrics=("f1_micro",), best_metric="f1_micro"
)


def dataset(labels, tokens=None):
    count = len(labels) if tokens is None else tokens
    return TokenizedDataset.from_flat(
        np.ones(len(labels)), np.zeros(len(labels)), [len(labels) // count] * count, labels, 16
    )


def teacher(value, contradicts=False):
    return TeacherResult(value, (value - 0.02, value + 0.02), contradicts)


def test_the_majority_class():
    labels = np.array([0, 1, 1, 1, 0])
    assert majority_metric(SST2, dataset(labels)) == accuracy_score(labels, [1] * 5)
    assert majority_metric(COLA, dataset(labels)) == 0
    assert majority_metric(find_task("STS-B"), dataset(np.array([0.5, 2.0, 4.0]))) == 0
    several = np.array([[1, 0], [1, 1], [1, 0], [0, 0]], np.float32)
    expected = f1_score(several, [[1, 0]] * 4, average="micro")
    assert majority_metric(MANY, dataset(several)) == pytest.approx(expected)
    tags = np.array([IGNORE_INDEX, 0, 0, 1, IGNORE_INDEX, 0])
    assert majority_metric(TAGS, dataset(tags, tokens=2)) == 0  # O alone is no entity


def test_advice_names_flags_that_apply():
    """A student after phase 1 comes from --load_td1_ckpt_path."""
    assert "--load_gd_ckpt_path" in NEXT["general"] and "load_gd" not in NEXT["phase1"]
    config = {field.name for field in dataclasses.fields(TaskDistillConfig)}
    assert set(re.findall(r"--(\w+)", NEXT["phase1"])) <= config


def test_the_line():
    line = verdict(SST2, 0.8165, (0.789, 0.841), teacher(0.8417), 0.5092)
    assert line == (
        "verdict: accuracy 0.8165 (95 % interval 0.7890 to 0.8410), teacher 0.8417, 97.0% kept; "
        "the majority class alone 0.5092"
    )
    assert verdict(SST2, 0.8, None, None, 0.5) == "verdict: accuracy 0.8000; the majority class alone 0.5000"
    assert "the mean score alone 0.0000" in verdict(find_task("STS-B"), 0.8, None, None, 0.0)


@pytest.mark.parametrize(
    "task, value, teacher, majority, found",
    [
        (SST2, 0.82, teacher(0.84), 0.51, []),
        (SST2, 0.52, None, 0.51, []),
        (SST2, 0.51, None, 0.51, ["the model (accuracy 0.5100) is no better than one answer for all rows"]),
        (SST2, 0.82, teacher(0.51), 0.51, ["the teacher (accuracy 0.5100) is no better"]),
        (SST2, 0.82, teacher(0.2, True), 0.51, ["the teacher (accuracy 0.2000) contradicts the labels"]),
        (COLA, 0.0, teacher(0.0), 0.0, ["the teacher (matthews_correlation 0.0", "the model (matthews_cor"]),
    ],
)
def test_models_no_better_than_one_answer(task, value, teacher, majority, found):
    warned = model_warnings(task, value, teacher, majority)
    assert len(warned) == len(found)
    assert all(text.startswith(start) for text, start in zip(warned, found, strict=True))


def test_a_teacher_whose_labels_are_in_another_order():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 200)
    right = np.eye(2)[labels] + 0.8 * draw.standard_normal((200, 2))
    assert contradicts_labels(SST2, right[:, ::-1], labels)
    for logits in (right, draw.standard_normal((200, 2)), np.tile([0.0, 1.0], (200, 1))):
        assert not contradicts_labels(SST2, logits, labels)
    scores = draw.uniform(0, 5, 50)
    assert contradicts_labels(find_task("STS-B"), -scores[:, None], scores)
    assert not contradicts_labels(find_task("STS-B"), scores[:, None], scores)


def test_what_prepare_found_is_repeated():
    logged, labels = [], np.array([0, 1] * 20)
    rows = dataset(labels)
    rows.manifest = {
        "files": {"train": {"rows": 40, "truncated": 8}, "dev": {"rows": 40, "rows_in_train": 4}}
    }
    evaluation = SimpleNamespace(evaluator=SimpleNamespace(datasets={"dev": rows}))
    run = SimpleNamespace(task=SST2, logger=SimpleNamespace(info=logged.append))
    log_data_warnings(run, SimpleNamespace(dataset=rows), evaluation)
    assert len(logged) == 2 and logged[0].startswith("warning: 20% of the rows of train are cut")
    assert logged[1].startswith("warning: 4 of the 40 rows of dev are also rows of train")


def entries(losses):
    return [{"loss": float(loss), "step": step, "title": "phase 1"} for step, loss in enumerate(losses)]


@pytest.mark.parametrize(
    "curve, says",
    [
        # The fall towards a floor at a learning rate that decays to 0, of a fast, an average and a slow run.
        (lambda t, noise: 3 + 8 * np.exp(-8 * (t - t**2 / 2)) + 0.05 * noise, ""),
        (lambda t, noise: 3 + 8 * np.exp(-4 * (t - t**2 / 2)) + 0.05 * noise, ""),
        (lambda t, noise: 3 + 8 * np.exp(-0.8 * t) + 0.05 * noise, "still falls at its end"),
        (lambda t, noise: 0.692 + 0.002 * noise, "has not moved"),
        (lambda t, noise: 0.30 - 0.02 * t + 0.0005 * noise, ""),  # little is left to learn, but it moves
    ],
)
def test_trends_of_a_phase(curve, says):
    draw = np.random.default_rng(1)
    losses = curve(np.linspace(0, 1, 20), draw.standard_normal(20))
    warned = trend_warning("phase 1", entries(losses))
    assert says in warned and bool(warned) == bool(says)
    assert not trend_warning("phase 1", entries(losses[:9]))  # too few lines to tell
