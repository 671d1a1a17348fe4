"""GLUE's metrics on NumPy arrays; scikit-learn and scipy do the work."""

import warnings

import numpy as np
from scipy import stats
from sklearn import metrics as sk

from . import entities
from .tasks import IGNORE_INDEX, for_mode


def _accuracy(predictions, labels):
    return sk.accuracy_score(labels, predictions)


def _f1(predictions, labels):
    # Of the positive class, index 1 (a paraphrase, a duplicate), as GLUE counts it.
    return sk.f1_score(labels, predictions, pos_label=1, average="binary", zero_division=0.0)


def _f1_of_all(average):
    # A label that is neither there nor predicted counts 0 among several of a row, and not among classes.
    return lambda predictions, labels: sk.f1_score(labels, predictions, average=average, zero_division=0.0)


def _matthews(predictions, labels):
    # 0 where it is undefined (one class only), which scikit-learn says with a warning.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sk.matthews_corrcoef(labels, predictions)


def _pearson(predictions, labels):
    return _correlation(stats.pearsonr, predictions, labels)


def _spearmanr(predictions, labels):
    return _correlation(stats.spearmanr, predictions, labels)


def _correlation(function, predictions, labels):
    # Undefined for scores that are constant (a model that has learned nothing) or no numbers (one that has
    # diverged, for which some versions of scipy raise): 0, so that "best" can still compare.
    if len(labels) < 2 or not np.isfinite(predictions).all():
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = function(predictions, labels)[0]
    return 0.0 if np.isnan(value) else value


def _mean_of(first, second):
    return lambda predictions, labels: (first(predictions, labels) + second(predictions, labels)) / 2


METRICS = {
    "accuracy": _accuracy,
    "f1": _f1,
    "f1_macro": _f1_of_all("macro"),
    "f1_micro": _f1_of_all("micro"),
    "subset_accuracy": _accuracy,
    "matthews_correlation": _matthews,
    "pearson": _pearson,
    "spearmanr": _spearmanr,
    "acc_and_f1": _mean_of(_accuracy, _f1),
    "corr": _mean_of(_pearson, _spearmanr),
    "entity_precision": entities.precision,
    "entity_recall": entities.recall,
    "entity_f1": entities.f1,
}


def _tag_rows(task, logits, labels):
    counted = [of_row != IGNORE_INDEX for of_row in labels]
    predicted = [of_row[real].argmax(axis=-1) for of_row, real in zip(logits, counted, strict=True)]
    true = [of_row[real] for of_row, real in zip(labels, counted, strict=True)]
    return tuple([[task.labels[index] for index in row] for row in rows] for rows in (predicted, true))


# Output mode -> function of (task, logits, labels): predictions and labels as the metrics take them.
COMPARED = {
    "classification": lambda task, logits, labels: (logits.argmax(axis=-1), labels),
    "multi_label": lambda task, logits, labels: ((logits > 0).astype(np.float32), labels),
    "regression": lambda task, logits, labels: (logits.reshape(len(logits)).astype(np.float64), labels),
    "token_classification": _tag_rows,
}

# As the log names them: "The best acc is 0.9".
SHORT_NAMES = {
    "accuracy": "acc",
    "f1": "f1",
    "matthews_correlation": "matthews",
    "pearson": "pearson",
    "entity_f1": "f1",
}


def task_metrics(task, logits, labels):
    """Evaluate a task.

    logits [rows, labels] (regression: [rows, 1] or [rows]); labels [rows] class indices or scores, of a
    multi-label task [rows, labels] of 0 and 1, where a label is predicted above a probability of one half.
    Of a task with a label for each token they are lists of the rows' own, [tokens, labels] and [tokens].
    Returns {"eval_<metric>": float, ..., "eval_samples": rows}.
    """
    predictions, true = for_mode(COMPARED, task.output_mode, "prediction")(task, logits, labels)
    values = {f"eval_{name}": float(METRICS[name](predictions, true)) for name in task.metrics}
    return {**values, "eval_samples": len(labels)}


def best_of(task, metrics):
    """The one number by which checkpoints of `task` are compared (higher is better)."""
    return metrics[f"eval_{task.best_metric}"]


def share_of(value, reference):
    """What `value` keeps of the metric `reference`; None without one of them, and where the latter is not
    above 0: of nothing, or of a correlation below 0, no share can be kept."""
    return value / reference if value is not None and reference is not None and reference > 0 else None


def short_name(task):
    """The name of the best metric as the log prints it: acc, f1, matthews, pearson, else its own."""
    return SHORT_NAMES.get(task.best_metric, task.best_metric)
