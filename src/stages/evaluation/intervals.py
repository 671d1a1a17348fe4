"""95 % intervals of metrics over the rows on which they were measured."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ...metrics import metric_of
from ...tasks import TaskSpec
from . import bootstrap
from .bootstrap import CONFIDENCE, Interval, Logits

EXACT_METRICS = ("accuracy", "subset_accuracy")  # a share of rows: closed-form intervals


def metric_interval(
    task: TaskSpec, logits: Logits, labels: Logits, seed: int = 0, name: str | None = None
) -> tuple[float, Interval]:
    """(value, 95 % interval) of a metric, by default the best_metric; Wilson's for a share of rows."""
    name = metric_of(task, name or task.best_metric)
    statistic, rows = bootstrap.metric_statistic(task, name, logits, labels), len(labels)
    value = float(statistic(np.arange(rows)))
    if name in EXACT_METRICS:
        return value, wilson_interval(round(value * rows), rows)
    return value, bootstrap.interval(statistic, rows, seed)


def wilson_interval(count: int, rows: int) -> Interval:
    """95 % score interval of a share (Wilson 1927)."""
    return _proportion(count, rows, "wilson")


def exact_interval(count: int, rows: int) -> Interval:
    """95 % interval of a share that contains it at least as often as stated (Clopper and Pearson 1934)."""
    return _proportion(count, rows, "exact")


def _proportion(count: int, rows: int, method: str) -> Interval:
    interval = stats.binomtest(count, rows).proportion_ci(CONFIDENCE, method=method)
    return float(interval.low), float(interval.high)
