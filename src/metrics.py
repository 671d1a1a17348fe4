"""GLUE's metrics on NumPy arrays; scikit-learn and scipy do the work."""
import warnings

import numpy as np
from scipy import stats
from sklearn import metrics as sk


def _accuracy(predictions, labels):
    return sk.accuracy_score(labels, predictions)


def _f1(predictions, labels):
    # Of the positive class, index 1 (a paraphrase, a duplicate), as GLUE counts it.
    return sk.f1_score(labels, predictions, pos_label=1, average="binary", zero_division=0.0)


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
    # Undefined for constant scores (a model that has learned nothing): 0, so that "best" can still compare.
    if len(labels) < 2:
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
    "matthews_correlation": _matthews,
    "pearson": _pearson,
    "spearmanr": _spearmanr,
    "acc_and_f1": _mean_of(_accuracy, _f1),
    "corr": _mean_of(_pearson, _spearmanr),
}

# As the log names them: "The best acc is 0.9".
SHORT_NAMES = {"accuracy": "acc", "f1": "f1", "matthews_correlation": "matthews", "pearson": "pearson"}


def task_metrics(task, logits, labels):
    """Evaluate a task.

    logits [rows, labels] (regression: [rows, 1] or [rows]), labels [rows] class indices or scores.
    Returns {"eval_<metric>": float, ..., "eval_samples": rows}.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if task.output_mode == "regression":
        predictions = logits.reshape(len(labels)).astype(np.float64)
    else:
        predictions = logits.argmax(axis=-1)
    values = {f"eval_{name}": float(METRICS[name](predictions, labels)) for name in task.metrics}
    return {**values, "eval_samples": len(labels)}


def best_of(task, metrics):
    """The one number by which checkpoints of `task` are compared (higher is better)."""
    return metrics[f"eval_{task.best_metric}"]


def short_name(task):
    """The name of the best metric as the log prints it: acc, f1, matthews or pearson."""
    return SHORT_NAMES[task.best_metric]
