"""Records without a manifest, such as the model zoo's, described by flags; the zoo's names of metrics."""

import numpy as np
import pytest

from src.config.task.from_records import task_for
from src.errors import UserError
from src.metrics import task_metrics
from src.tasks import TASKS


def test_numbered_labels():
    task = task_for({"task_name": "mine", "num_labels": 15})
    assert task.name == "mine" and task.labels[-1] == "LABEL_14" and task.output_mode == "classification"
    assert task_for({"labels": ("b", "a")}).labels == ("b", "a")
    assert task_for({"output_mode": "regression"}).best_metric == "pearson"
    assert task_for({"labels": ("a", "b"), "output_mode": "multi_label"}).best_metric == "f1_micro"


def test_numbered_tags_are_measured_by_token():
    task = task_for({"num_labels": 3, "task_type": "ner"})
    assert task.metrics == ("token_accuracy", "token_f1")
    # Six tokens, one ignored: tags 0 1 2 | 0 1, predicted 0 1 1 | 2 0.
    labels = [np.array([0, 1, 2]), np.array([-100, 0, 1])]
    logits = [np.eye(3)[[0, 1, 1]], np.eye(3)[[0, 2, 0]]]
    metrics = task_metrics(task, logits, labels)
    assert metrics["eval_token_accuracy"] == pytest.approx(2 / 5)
    assert metrics["eval_token_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))  # TP 2, FP 1, FN 1


@pytest.mark.parametrize(
    "method, name, metric",
    [
        ("accuracy", "SST-2", "accuracy"),
        ("f1", "MRPC", "f1"),
        ("bf1", "MRPC", "f1"),
        ("mf1", "MNLI", "f1_micro"),
        ("mcc", "CoLA", "matthews_correlation"),
        ("spearman_correlation", "STS-B", "spearmanr"),
        ("bf1", "sample-ner", "token_f1"),
        ("mf1", "sample-ner", "token_f1_micro"),
        ("f1", "sample-ner", "entity_f1"),
    ],
)
def test_assessment_methods(method, name, metric):
    task = task_for({"task_name": name, "assessment_method": method})
    assert task.best_metric == task.metrics[0] == metric and set(TASKS[name].metrics) <= set(task.metrics)


@pytest.mark.parametrize(
    "known, words",
    [
        ({"task_name": "SST-2", "num_labels": 3}, "--num_labels 3 contradicts SST-2, which has 2"),
        ({"task_name": "SST-2", "task_type": "ner"}, "SST-2 is a classification task, not token_"),
        ({"task_name": "SST-2", "labels": ("a", "b")}, "--labels contradicts SST-2"),
        ({"labels": ("a", "b"), "num_labels": 3}, "--num_labels 3, but --labels lists 2"),
        ({"labels": ("a", "a")}, '--labels: duplicate label "a"'),
        ({"num_labels": 1}, "a score is --output_mode regression"),
        ({"num_labels": 2, "task_type": "ner", "output_mode": "classification"}, "give one of them"),
        ({"task_name": "MNLI", "assessment_method": "f1"}, "requires two labels, MNLI has 3"),
        ({"task_name": "STS-B", "assessment_method": "mcc"}, "has no assessment_method mcc here"),
        ({"task_name": "nothing"}, 'task_name "nothing" is not one of'),
    ],
)  # fmt: skip
def test_contradictions(known, words):
    with pytest.raises(UserError) as caught:
        task_for(known)
    assert words in str(caught.value)
