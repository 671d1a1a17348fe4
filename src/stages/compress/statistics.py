"""How well a candidate predicts, with 95 % intervals, alone and against the given model on the same rows."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import stats

from ...errors import UserError
from ...tasks import TaskSpec
from ..evaluation import bootstrap
from ..evaluation.bootstrap import CONFIDENCE, Interval, Logits
from ..evaluation.intervals import EXACT_METRICS, exact_interval, metric_interval
from . import predictions
from .report_data import LabelRow


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A candidate (`after`) against the given model (`before`); the fields are those of CandidateResult.

    Without labels the metric is the agreement, and difference, mcnemar_p, per_label and confusion are empty.
    """

    metric: float
    interval: list[float]
    difference: float | None
    difference_interval: list[float] | None
    mcnemar_p: float | None
    changed_share: float
    agreement: float
    agreement_interval: list[float]
    per_label: list[LabelRow]
    confusion: list[list[int]]


def compare(
    task: TaskSpec, before: Logits, after: Logits, labels: Logits | None = None, seed: int = 0
) -> Comparison:
    """Compare logits of two models over the same rows by the task's best_metric.

    before, after, labels: as for metrics.task_metrics. Resampling is determined by `seed`. Raises UserError
    without rows.
    """
    if not len(before):
        raise UserError("there are no rows over which to compare the models")
    changed = predictions.changed_rows(task, before, after, labels)
    same, rows = int((~changed).sum()), len(changed)
    agreement, agreement_interval = same / rows, list(exact_interval(same, rows))
    shared = (1.0 - agreement, agreement, agreement_interval)
    if labels is None:
        return Comparison(agreement, agreement_interval, None, None, None, *shared, [], [])
    metric, interval = metric_interval(task, after, labels, seed)
    difference, difference_interval = paired_difference(task, before, after, labels, seed)
    right = [predictions.correct_rows(task, logits, labels) for logits in (before, after)]
    return Comparison(
        metric,
        list(interval),
        difference,
        list(difference_interval),
        None if right[0] is None or right[1] is None else mcnemar_p(right[0], right[1]),
        *shared,
        predictions.label_rows(task, before, after, labels),
        predictions.confusion(task, after, labels),
    )


def paired_difference(
    task: TaskSpec, before: Logits, after: Logits, labels: Logits, seed: int = 0, name: str | None = None
) -> tuple[float, Interval]:
    """(difference, 95 % interval) of a metric, after minus before, on the same rows.

    Both models are resampled with the same rows (paired bootstrap, Koehn 2004). A share of rows has Bonett
    and Price's interval: it keeps a width where few rows changed, while most resamples are equal. On
    neither side is the interval of another metric of classes narrower than that of the share of right rows.
    """
    name, rows = name or task.best_metric, len(labels)
    old, new = (predictions.correct_rows(task, logits, labels) for logits in (before, after))
    below = above = 0.0
    if old is not None and new is not None:
        gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
        share, ends = (gained - lost) / rows, bonett_price_interval(gained, lost, rows)
        if name in EXACT_METRICS:
            return share, ends
        below, above = share - ends[0], ends[1] - share
    one, other = (bootstrap.metric_statistic(task, name, logits, labels) for logits in (before, after))

    def difference(index: np.ndarray) -> np.ndarray:
        return other(index) - one(index)

    value, (low, high) = float(difference(np.arange(rows))), bootstrap.interval(difference, rows, seed)
    return value, (min(low, value - below), max(high, value + above))


def bonett_price_interval(gained: int, lost: int, rows: int) -> Interval:
    """95 % interval of (gained - lost) / rows, the difference of two shares of the same rows.

    Wald's interval with one row added to each kind of change (Bonett and Price 2012), as Fagerland, Lydersen
    and Laake (2014) recommend. `gained`: rows that only the second model has right; `lost`: only the first.
    """
    up, down = (gained + 1) / (rows + 2), (lost + 1) / (rows + 2)
    error = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((up + down - (up - down) ** 2) / (rows + 2))
    return max(-1.0, up - down - error), min(1.0, up - down + error)


def mcnemar_p(before: np.ndarray, after: np.ndarray) -> float:
    """Two-sided p value of McNemar's exact test of two models, bool [n]: whether each has a row right.

    Rows that only one of the two has right are as likely to be either's (McNemar 1947; Dietterich 1998).
    """
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
