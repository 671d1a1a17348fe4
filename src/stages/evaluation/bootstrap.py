"""Bootstrap intervals of the metrics of src/metrics.py, over rows.

A metric of classes, labels or tags depends on the rows only through sums of their counts [3, L]: the true
positives, predictions and occurrences of each label. The sums of all resamples are one matrix product, which
takes milliseconds for thousands of them. Correlations are computed from the resampled scores.

R resamples, n rows, L labels; `index` [R, n] or [n] are indices of resampled rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import stats

from ... import entities
from ...metrics import NO_ENTITY, PREDICTIONS
from ...tasks import TaskSpec, for_mode

CONFIDENCE = 0.95
RESAMPLES = 2000
BATCH_CELLS = 4_000_000  # resamples times rows in memory at a time

Logits = np.ndarray | Sequence[np.ndarray]
Statistic = Callable[[np.ndarray], np.ndarray]
Interval = tuple[float, float]


def interval(statistic: Statistic, rows: int, seed: int = 0, resamples: int = RESAMPLES) -> Interval:
    """95 % percentile bootstrap interval (Efron 1979) of a function of row indices [R, n] -> [R].

    (-1, 1), the range of a difference and of a correlation, for fewer than two rows.
    """
    if rows < 2:
        return -1.0, 1.0
    low, high = stats.bootstrap(
        (np.arange(rows),),
        lambda index, axis=-1: statistic(index),
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, BATCH_CELLS // rows),
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return float(low), float(high)


def metric_statistic(task: TaskSpec, name: str, logits: Logits, labels: Logits) -> Statistic:
    """The metric `name` as a function of row indices; on all rows in order it equals METRICS[name].

    logits and labels as for metrics.task_metrics.
    """
    predictions, true = for_mode(PREDICTIONS, task.output_mode, "prediction")(task, logits, labels)
    if name in MEANS:
        parts = [_statistic(task, part, predictions, true) for part in MEANS[name]]
        return lambda index: np.mean([part(index) for part in parts], axis=0)
    return _statistic(task, name, predictions, true)


def _statistic(task: TaskSpec, name: str, predictions: Any, true: Any) -> Statistic:
    if name in CORRELATIONS:
        correlation = CORRELATIONS[name]
        return lambda index: correlation(predictions[index], true[index])
    counts, metric = row_counts(task, name, predictions, true), COUNT_METRICS[name]
    if name == "f1_macro" and task.output_mode == "multi_label":
        metric = _macro_f1_of_all
    return lambda index: metric(_resampled(counts, index))


def _resampled(counts: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Sums of counts [n, 3, L] over the rows of each resample: [R, 3, L], or [3, L] of index [n]."""
    rows = len(counts)
    shifted = np.atleast_2d(index) + rows * np.arange(np.atleast_2d(index).shape[0])[:, None]
    weights = np.bincount(shifted.ravel(), minlength=rows * len(shifted)).reshape(len(shifted), rows)
    sums = (weights.astype(np.float64) @ counts.reshape(rows, -1)).reshape(-1, *counts.shape[1:])
    return sums if index.ndim > 1 else sums[0]


def row_counts(task: TaskSpec, name: str, predictions: Any, true: Any) -> np.ndarray:
    """Counts [n, 3, L] of (true positives, predicted, true) of each row for the metric `name`, as float64."""
    if name in TAG_COUNTS:
        pairs = [TAG_COUNTS[name](ours, theirs) for ours, theirs in zip(predictions, true, strict=True)]
        return np.array(pairs, dtype=np.float64).reshape(-1, 3, 1)
    if task.output_mode == "multi_label" and name in ("accuracy", "subset_accuracy"):
        exact = (predictions == true).all(axis=1)
        return np.stack([exact, np.ones_like(exact), np.ones_like(exact)], axis=1)[:, :, None].astype(float)
    if task.output_mode == "classification":
        predictions, true = (_one_hot(classes, len(task.labels)) for classes in (predictions, true))
    return np.stack([predictions * true, predictions, true], axis=1).astype(np.float64)


def _one_hot(classes: np.ndarray, count: int) -> np.ndarray:
    return classes[:, None] == np.arange(count)


def _tag_counts(predicted: Sequence[str], true: Sequence[str]) -> tuple[int, int, int]:
    return sum(map(str.__eq__, predicted, true)), len(predicted), len(true)


def _entity_token_counts(predicted: Sequence[str], true: Sequence[str]) -> tuple[int, int, int]:
    ours, theirs = ([tag not in NO_ENTITY for tag in tags] for tags in (predicted, true))
    return sum(map(bool.__and__, ours, theirs)), sum(ours), sum(theirs)


def _entity_counts(predicted: Sequence[str], true: Sequence[str]) -> tuple[int, int, int]:
    ours, theirs = set(entities.entities(predicted)), set(entities.entities(true))
    return len(ours & theirs), len(ours), len(theirs)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, 0 where the denominator is 0, as in scikit-learn with zero_division=0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _precision(counts: np.ndarray) -> np.ndarray:
    return _ratio(counts[..., 0, :].sum(-1), counts[..., 1, :].sum(-1))


def _recall(counts: np.ndarray) -> np.ndarray:
    return _ratio(counts[..., 0, :].sum(-1), counts[..., 2, :].sum(-1))


def _label_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of each label: [R, 3, L] -> [R, L]."""
    return _ratio(2 * counts[..., 0, :], counts[..., 1, :] + counts[..., 2, :])


def _positive_f1(counts: np.ndarray) -> np.ndarray:
    return _label_f1(counts)[..., -1 if counts.shape[-1] == 1 else 1]


def _micro_f1(counts: np.ndarray) -> np.ndarray:
    return _label_f1(counts.sum(-1, keepdims=True))[..., 0]


def _macro_f1(counts: np.ndarray) -> np.ndarray:
    present = counts[..., 1:, :].sum(-2) > 0
    return _ratio(_label_f1(counts).sum(-1), present.sum(-1).astype(np.float64))


def _macro_f1_of_all(counts: np.ndarray) -> np.ndarray:
    return _label_f1(counts).mean(-1)


def _matthews(counts: np.ndarray) -> np.ndarray:
    """Multi-class correlation R_K (Gorodkin 2004) from the totals of each class, 0 where it is undefined."""
    correct, (predicted, true) = counts[..., 0, :].sum(-1), (counts[..., 1, :], counts[..., 2, :])
    total = true.sum(-1)
    covariance = correct * total - (predicted * true).sum(-1)
    variances = (total**2 - (predicted**2).sum(-1)) * (total**2 - (true**2).sum(-1))
    return _ratio(covariance, np.sqrt(variances))


def _pearson(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pearson's r over the last axis, 0 where undefined."""
    one, other = (values - values.mean(-1, keepdims=True) for values in (one, other))
    return _ratio((one * other).sum(-1), np.sqrt((one**2).sum(-1) * (other**2).sum(-1)))


def _spearman(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return _pearson(stats.rankdata(one, axis=-1), stats.rankdata(other, axis=-1))


COUNT_METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": _recall,  # over all classes together
    "subset_accuracy": _recall,
    "f1": _positive_f1,
    "f1_macro": _macro_f1,
    "f1_micro": _micro_f1,
    "matthews_correlation": _matthews,
    "entity_precision": _precision,
    "entity_recall": _recall,
    "entity_f1": _micro_f1,
    "token_accuracy": _recall,
    "token_f1": _micro_f1,
    "token_f1_micro": _recall,
}
TAG_COUNTS: dict[str, Callable[[Sequence[str], Sequence[str]], tuple[int, int, int]]] = {
    "entity_precision": _entity_counts,
    "entity_recall": _entity_counts,
    "entity_f1": _entity_counts,
    "token_accuracy": _tag_counts,
    "token_f1": _entity_token_counts,
    "token_f1_micro": _tag_counts,
}
CORRELATIONS = {"pearson": _pearson, "spearmanr": _spearman}
MEANS = {"acc_and_f1": ("accuracy", "f1"), "corr": ("pearson", "spearmanr")}
