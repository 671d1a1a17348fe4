"""GLUE's metrics, compared with manual counts, scikit-learn and SciPy."""

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from src.errors import UserError
from src.metrics import METRICS, agreement_task, best_of, predicted_labels, short_name, task_metrics
from src.tasks import TASKS, TaskSpec

RANDOM = np.random.default_rng(3)
LABELS = RANDOM.integers(0, 2, 500)
LOGITS = RANDOM.normal(size=(500, 2)) + np.eye(2)[LABELS]
PREDICTIONS = LOGITS.argmax(1)
SCORES = RANDOM.uniform(0, 5, 300)
NEAR_SCORES = SCORES + RANDOM.normal(size=300)


def confusion(predictions, labels):
    return [int(((predictions == p) & (labels == q)).sum()) for p, q in ((1, 1), (1, 0), (0, 1), (0, 0))]


def test_binary_metrics_by_hand():
    hits, false_alarms, misses, rejections = confusion(PREDICTIONS, LABELS)
    values = task_metrics(TASKS["MRPC"], LOGITS, LABELS)
    accuracy = (hits + rejections) / 500
    f1 = 2 * hits / (2 * hits + false_alarms + misses)
    assert values == {
        "eval_accuracy": pytest.approx(accuracy),
        "eval_f1": pytest.approx(f1),
        "eval_acc_and_f1": pytest.approx((accuracy + f1) / 2),
        "eval_samples": 500,
    }
    matthews = (hits * rejections - false_alarms * misses) / math.sqrt(
        (hits + false_alarms) * (hits + misses) * (rejections + false_alarms) * (rejections + misses)
    )
    assert METRICS["matthews_correlation"](PREDICTIONS, LABELS) == pytest.approx(matthews)


def test_against_scikit_learn_and_scipy():
    cola = task_metrics(TASKS["CoLA"], LOGITS, LABELS)
    assert cola["eval_matthews_correlation"] == sklearn.metrics.matthews_corrcoef(LABELS, PREDICTIONS)
    qqp = task_metrics(TASKS["QQP"], LOGITS, LABELS)
    assert qqp["eval_f1"] == sklearn.metrics.f1_score(LABELS, PREDICTIONS)
    pearson = scipy.stats.pearsonr(NEAR_SCORES, SCORES)[0]
    spearman = scipy.stats.spearmanr(NEAR_SCORES, SCORES)[0]
    assert task_metrics(TASKS["STS-B"], NEAR_SCORES[:, None], SCORES) == {
        "eval_pearson": pytest.approx(pearson, abs=1e-12),
        "eval_spearmanr": pytest.approx(spearman, abs=1e-12),
        "eval_corr": pytest.approx((pearson + spearman) / 2),
        "eval_samples": 300,
    }


def test_three_classes():
    labels, logits = np.array([0, 1, 2, 2]), np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 0, 0]])
    assert task_metrics(TASKS["MNLI"], logits, labels) == {"eval_accuracy": 0.75, "eval_samples": 4}


@pytest.mark.parametrize("name", ["pearson", "spearmanr", "corr", "f1", "matthews_correlation"])
@pytest.mark.parametrize("rows", [1, 5])
def test_constant_predictions_give_a_number(name, rows):
    value = METRICS[name](np.zeros(rows), np.arange(rows) % 2)
    assert not math.isnan(value) and value == 0


@pytest.mark.parametrize("name", ["pearson", "spearmanr", "corr"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_scores_give_zero(name, value):
    assert METRICS[name](np.array([value, 1.0, 2.0]), np.array([3.0, 1.0, 2.0])) == 0


@pytest.mark.parametrize(
    "task, short", [("SST-2", "acc"), ("CoLA", "matthews"), ("STS-B", "pearson"), ("QQP", "acc")]
)
def test_best_metric_and_its_short_name(task, short):
    assert short_name(TASKS[task]) == short
    assert best_of(TASKS[task], {f"eval_{TASKS[task].best_metric}": 0.5, "eval_other": 1}) == 0.5


def test_multi_label_metrics_by_hand():
    task = TaskSpec(
        "own",
        ("text",),
        output_mode="multi_label",
        labels=("a", "b", "c"),
        metrics=("f1_micro", "f1_macro", "subset_accuracy"),
        best_metric="f1_micro",
    )
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], np.float32)
    logits = np.array([[2, -1, -1], [1, -2, 3], [-1, -1, -1], [-3, 0.1, 0]], np.float32)
    # a: 2 hits. b: 1 hit, 1 miss. c: 1 false alarm and no positive row, so it counts as 0 in the macro mean.
    assert task_metrics(task, logits, labels) == {
        "eval_f1_micro": pytest.approx(2 * 3 / (2 * 3 + 1 + 1)),
        "eval_f1_macro": pytest.approx((1 + 2 / 3 + 0) / 3),
        "eval_subset_accuracy": 0.75,
        "eval_samples": 4,
    }
    assert short_name(task) == "f1_micro"


def test_macro_f1_of_classes_by_hand():
    task = TaskSpec("own", ("text",), labels=("a", "b", "c"), metrics=("accuracy", "f1_macro"))
    labels, logits = np.array([0, 1, 2, 2]), np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 0, 0]])
    values = task_metrics(task, logits, labels)
    assert values["eval_f1_macro"] == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)


def test_unknown_output_mode_is_rejected():
    with pytest.raises(UserError, match="a ranking task has no prediction here; supported are cl"):
        task_metrics(TaskSpec("own", ("text",), output_mode="ranking"), LOGITS, LABELS)


AGREEMENTS = {
    "classification": (np.eye(3)[[0, 1, 2, 1]], np.eye(3)[[0, 1, 1, 1]], 0.75),
    "multi_label": (np.array([[1, -1], [-1, -1], [1, 1]]), np.array([[2, -3], [-1, 1], [1, 2]]), 2 / 3),
    "regression": (
        np.array([[1.0], [2], [4]]),
        np.array([[2.0], [5], [5]]),
        np.corrcoef([1, 2, 4], [2, 5, 5])[0, 1],
    ),
}


@pytest.mark.parametrize("mode", AGREEMENTS)
def test_agreement_with_another_model(mode):
    from src.stages.evaluation.intervals import metric_interval

    ours, theirs, expected = AGREEMENTS[mode]
    labels = () if mode == "regression" else tuple("abc")[: ours.shape[1]]
    task = agreement_task(TaskSpec("own", ("text",), output_mode=mode, labels=labels))
    reference = predicted_labels(task, theirs)
    metrics = task_metrics(task, ours, reference)
    assert metrics == {"eval_agreement": pytest.approx(expected), "eval_samples": len(ours)}
    value, (low, high) = metric_interval(task, ours, reference)
    assert value == pytest.approx(expected) and low <= value <= high
