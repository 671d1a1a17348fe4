"""GLUE metrics on NumPy arrays, computed by scikit-learn and SciPy."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy import stats
from sklearn import metrics as sk

from . import entities
from .tasks import IGNORE_INDEX, TaskSpec, for_mode

Metric = Callable[..., float]
# With the predictions of a reference model in place of labels: output mode -> the metric that it is.
AGREEMENT = "agreement"
AGREEMENT_OF = {"classification": "accuracy", "multi_label": "subset_accuracy", "regression": "pearson"}
NO_ENTITY = (entities.OUTSIDE, "LABEL_0")  # of tags with and without names


def _accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    return sk.accuracy_score(labels, predictions)


def _f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    # F1 of the positive class, index 1 (paraphrase, duplicate), as in GLUE.
    return sk.f1_score(labels, predictions, pos_label=1, average="binary", zero_division=0.0)


def _averaged_f1(average: str) -> Metric:
    # A label neither present nor predicted counts as 0 in multi-label rows and is ignored for classes.
    return lambda predictions, labels: sk.f1_score(labels, predictions, average=average, zero_division=0.0)


def _matthews(predictions: np.ndarray, labels: np.ndarray) -> float:
    # 0 where undefined (a single class), for which scikit-learn warns.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sk.matthews_corrcoef(labels, predictions)


def _pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    return _correlation(stats.pearsonr, predictions, labels)


def _spearmanr(predictions: np.ndarray, labels: np.ndarray) -> float:
    return _correlation(stats.spearmanr, predictions, labels)


def _correlation(function: Callable, predictions: np.ndarray, labels: np.ndarray) -> float:
    # Undefined for constant scores (an untrained model) and non-finite ones (a diverged model, for which some
    # versions of SciPy raise): 0, so that checkpoints remain comparable.
    if len(labels) < 2 or not np.isfinite(predictions).all():
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = function(predictions, labels)[0]
    return 0.0 if np.isnan(value) else value


def _mean_of(first: Metric, second: Metric) -> Metric:
    return lambda predictions, labels: (first(predictions, labels) + second(predictions, labels)) / 2


def _token_accuracy(predictions: Sequence[Sequence[str]], labels: Sequence[Sequence[str]]) -> float:
    # Also the micro-averaged F1 over all tags, since each token has one tag and one prediction.
    true, predicted = ([tag for row in rows for tag in row] for rows in (labels, predictions))
    return sk.accuracy_score(true, predicted)


def _token_f1(predictions: Sequence[Sequence[str]], labels: Sequence[Sequence[str]]) -> float:
    # Binary: any tag but the first label's, whichever it is, as the model zoo's bf1.
    true, predicted = (
        [tag not in NO_ENTITY for row in rows for tag in row] for rows in (labels, predictions)
    )
    return sk.f1_score(true, predicted, zero_division=0.0)


METRICS: dict[str, Metric] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "f1_macro": _averaged_f1("macro"),
    "f1_micro": _averaged_f1("micro"),
    "subset_accuracy": _accuracy,
    "matthews_correlation": _matthews,
    "pearson": _pearson,
    "spearmanr": _spearmanr,
    "acc_and_f1": _mean_of(_accuracy, _f1),
    "corr": _mean_of(_pearson, _spearmanr),
    "entity_precision": entities.precision,
    "entity_recall": entities.recall,
    "entity_f1": entities.f1,
    "token_accuracy": _token_accuracy,
    "token_f1": _token_f1,
    "token_f1_micro": _token_accuracy,
}


def _tag_sequences(
    task: TaskSpec, logits: Sequence[np.ndarray], labels: Sequence[np.ndarray]
) -> tuple[list[list[str]], list[list[str]]]:
    predicted, true = [], []
    for row_logits, row_labels in zip(logits, labels, strict=True):
        mask = row_labels != IGNORE_INDEX
        predicted.append([task.labels[index] for index in row_logits[mask].argmax(axis=-1)])
        true.append([task.labels[index] for index in row_labels[mask]])
    return predicted, true


def _row_predictions(
    predict: Callable[[np.ndarray], np.ndarray], task: TaskSpec, logits: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return predict(logits), labels


# Output mode -> function of (task, logits, labels): predictions and labels as the metrics take them.
ROW_PREDICTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "classification": lambda logits: logits.argmax(axis=-1),
    "multi_label": lambda logits: (logits > 0).astype(np.float32),
    "regression": lambda logits: logits.reshape(len(logits)).astype(np.float64),
}
PREDICTIONS: dict[str, Callable] = {
    **{mode: partial(_row_predictions, predict) for mode, predict in ROW_PREDICTIONS.items()},
    "token_classification": _tag_sequences,
}

# Names in log lines: "The best acc is 0.9".
SHORT_NAMES = {
    "accuracy": "acc",
    "f1": "f1",
    "matthews_correlation": "matthews",
    "pearson": "pearson",
    "entity_f1": "f1",
    "token_accuracy": "acc",
    "token_f1": "f1",
    "token_f1_micro": "f1",
}


def task_metrics(
    task: TaskSpec, logits: np.ndarray | Sequence[np.ndarray], labels: np.ndarray | Sequence[np.ndarray]
) -> dict[str, float]:
    """Compute the metrics of a task.

    logits [rows, labels] (regression: [rows, 1] or [rows]); labels [rows] class indices or scores,
    multi-label: [rows, labels] of 0 and 1, a label being predicted above a probability of 0.5. For token
    classification both are lists with one array per row, [tokens, labels] and [tokens].
    Returns {"eval_<metric>": float, ..., "eval_samples": rows}.
    """
    predictions, true = for_mode(PREDICTIONS, task.output_mode, "prediction")(task, logits, labels)
    values = {
        f"eval_{name}": float(METRICS[metric_of(task, name)](predictions, true)) for name in task.metrics
    }
    return {**values, "eval_samples": len(labels)}


def metric_of(task: TaskSpec, name: str) -> str:
    """The name in METRICS of one of the task's metrics."""
    return for_mode(AGREEMENT_OF, task.output_mode, AGREEMENT) if name == AGREEMENT else name


def agreement_task(task: TaskSpec) -> TaskSpec:
    """`task` where no evaluation row has a label: models are measured by their agreement with another."""
    return dataclasses.replace(task, metrics=(AGREEMENT,), best_metric=AGREEMENT)


def predicted_labels(task: TaskSpec, logits: np.ndarray) -> np.ndarray:
    """What a model predicts, as labels in the form of the records; `logits` as in `task_metrics`."""
    return for_mode(ROW_PREDICTIONS, task.output_mode, "agreement without labels")(logits)


def best_of(task: TaskSpec, metrics: dict[str, float]) -> float:
    """Value of the task's best_metric, by which checkpoints are compared (higher is better)."""
    return metrics[f"eval_{task.best_metric}"]


def share_of(value: float | None, reference: float | None) -> float | None:
    """Fraction of the metric `reference` that `value` retains; None without either or if it is <= 0."""
    return value / reference if value is not None and reference is not None and reference > 0 else None


def short_name(task: TaskSpec) -> str:
    """Name of the best metric in log lines: acc, f1, matthews, pearson, otherwise its full name."""
    return SHORT_NAMES.get(task.best_metric, task.best_metric)
