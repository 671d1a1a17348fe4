"""What two models predict for the same rows: which predictions changed, per label, and with what confidence.

`before` and `after` are logits as for metrics.task_metrics: [n, L] of n rows and L labels, [n, 1] or [n] for
regression; for token classification lists of arrays [tokens, L], a row being a sentence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn import metrics as sk

from ... import entities
from ...metrics import PREDICTIONS
from ...tasks import IGNORE_INDEX, TaskSpec, for_mode
from ..evaluation.bootstrap import Logits
from .report_data import ChangedRow, LabelRow

TOLERANCE = 0.05  # of the range of scores: a smaller difference of a regression is no change
MAX_EXAMPLES = 10


def predictions_of(task: TaskSpec, logits: Logits) -> Any:
    """Predictions [n] (multi-label [n, L] of 0 and 1, tokens: label indices [tokens] of each row)."""
    if task.output_mode == "token_classification":
        return [row.argmax(axis=-1) for row in logits]
    return for_mode(PREDICTIONS, task.output_mode, "prediction")(task, logits, None)[0]


def changed_rows(
    task: TaskSpec,
    before: Logits,
    after: Logits,
    labels: Logits | None = None,
    tolerance: float | None = None,
) -> np.ndarray:
    """Whether the prediction of each row differs, bool [n]: another class, any other label or tag, or a score
    that moved by more than `tolerance` (default: TOLERANCE of the range of scores).

    `labels` of token classification leave out the tokens without one, as the metrics do.
    """
    ours, theirs = predictions_of(task, before), predictions_of(task, after)
    if task.output_mode == "regression":
        return np.abs(ours - theirs) > (score_tolerance(task, ours) if tolerance is None else tolerance)
    if task.output_mode == "token_classification":
        masks = _token_masks(before, labels)
        return np.array([(a != b)[m].any() for a, b, m in zip(ours, theirs, masks, strict=True)], dtype=bool)
    return ours != theirs if ours.ndim == 1 else (ours != theirs).any(axis=1)


def score_tolerance(task: TaskSpec, scores: np.ndarray) -> float:
    """TOLERANCE of the task's range of scores, or of the range of `scores` where it has none."""
    low, high = task.score_range or (scores.min(), scores.max())
    return TOLERANCE * float(high - low)


def correct_rows(task: TaskSpec, logits: Logits, labels: Logits) -> np.ndarray | None:
    """Whether each row is right as a whole (all its labels, all its tags), bool [n]; None for regression."""
    if task.output_mode == "regression":
        return None
    predicted = predictions_of(task, logits)
    if task.output_mode == "token_classification":
        masks = _token_masks(logits, labels)
        rows = zip(predicted, labels, masks, strict=True)
        return np.array([(tags == true)[mask].all() for tags, true, mask in rows], dtype=bool)
    return predicted == labels if predicted.ndim == 1 else (predicted == labels).all(axis=1)


def _token_masks(logits: Logits, labels: Logits | None) -> list[np.ndarray]:
    if labels is None:
        return [np.ones(len(row), dtype=bool) for row in logits]
    return [np.asarray(row) != IGNORE_INDEX for row in labels]


def label_rows(task: TaskSpec, before: Logits, after: Logits, labels: Logits) -> list[LabelRow]:
    """Precision and recall of each label (token classification: each entity type) before and after."""
    if task.output_mode == "regression":
        return []
    score = _entity_scores if task.output_mode == "token_classification" else _label_scores
    old, new = score(task, before, labels), score(task, after, labels)
    return [
        LabelRow(name, new[name][0], new[name][1], old[name][0], old[name][1], new[name][2])
        for name in new
        if name in old
    ]


def _label_scores(task: TaskSpec, logits: Logits, labels: Logits) -> dict[str, tuple[float, float, int]]:
    """{label: (precision, recall, support)}; 0 where a label is never predicted or never occurs."""
    precision, recall, _, support = sk.precision_recall_fscore_support(
        labels, predictions_of(task, logits), labels=range(len(task.labels)), zero_division=0.0
    )
    rows = zip(task.labels, precision, recall, support, strict=True)
    return {name: (float(p), float(r), int(count)) for name, p, r, count in rows}


def _entity_scores(task: TaskSpec, logits: Logits, labels: Logits) -> dict[str, tuple[float, float, int]]:
    """{entity type: (precision, recall, support)}, strict matching as in src/entities.py."""
    predicted, true = PREDICTIONS[task.output_mode](task, logits, labels)
    ours, theirs = (
        {(row, *entity) for row, tags in enumerate(sequences) for entity in entities.entities(tags)}
        for sequences in (predicted, true)
    )
    scores = {}
    for kind in sorted({tag[2:] for tag in task.labels if entities.is_tag(tag) and tag != entities.OUTSIDE}):
        found, known = ({entity for entity in group if entity[1] == kind} for group in (ours, theirs))
        hits = len(found & known)
        scores[kind] = (hits / max(len(found), 1), hits / max(len(known), 1), len(known))
    return scores


def confusion(task: TaskSpec, logits: Logits, labels: Logits) -> list[list[int]]:
    """Counts [label][prediction] of a classification task; empty for the other output modes."""
    if task.output_mode != "classification":
        return []
    predicted = predictions_of(task, logits)
    return sk.confusion_matrix(labels, predicted, labels=range(len(task.labels))).tolist()


def changed_examples(
    task: TaskSpec,
    before: Logits,
    after: Logits,
    labels: Logits | None,
    texts: Sequence[str],
    count: int = MAX_EXAMPLES,
) -> list[ChangedRow]:
    """The changed rows in which `after` is most confident (regression: whose score moved the most).

    Of a row with several labels or tags, the change in which `after` is most confident.
    """
    example, examples = for_mode(EXAMPLES, task.output_mode, "prediction"), []
    for row in np.flatnonzero(changed_rows(task, before, after, labels)):
        true = None if labels is None else np.asarray(labels[row])
        rank, change = example(task, np.asarray(before[row]), np.asarray(after[row]), true)
        examples.append((rank, dataclasses.replace(change, text=texts[row])))
    return [change for _, change in sorted(examples, key=lambda pair: -pair[0])[:count]]


Example = tuple[float, ChangedRow]  # rank, and the row without its text


def _changed_class(task: TaskSpec, old: np.ndarray, new: np.ndarray, true: np.ndarray | None) -> Example:
    first, second = int(old.argmax()), int(new.argmax())
    p_old, p_new = float(softmax(old)[first]), float(softmax(new)[second])
    label = None if true is None else task.labels[int(true)]
    return p_new, ChangedRow("", label, task.labels[first], p_old, task.labels[second], p_new)


def _changed_tag(task: TaskSpec, old: np.ndarray, new: np.ndarray, true: np.ndarray | None) -> Example:
    known = np.ones(len(old), dtype=bool) if true is None else true != IGNORE_INDEX
    moved = np.flatnonzero((old.argmax(-1) != new.argmax(-1)) & known)
    token = moved[softmax(new[moved], axis=-1).max(-1).argmax()]
    return _changed_class(task, old[token], new[token], None if true is None else true[token])


def _changed_set(task: TaskSpec, old: np.ndarray, new: np.ndarray, true: np.ndarray | None) -> Example:
    moved = np.flatnonzero((old > 0) != (new > 0))
    label = moved[np.abs(new[moved]).argmax()]
    p_old, p_new = (float(expit(abs(logits[label]))) for logits in (old, new))  # present or absent
    names = None if true is None else _names(task, true)
    return p_new, ChangedRow("", names, _names(task, old), p_old, _names(task, new), p_new)


def _changed_score(task: TaskSpec, old: np.ndarray, new: np.ndarray, true: np.ndarray | None) -> Example:
    first, second = (float(logits.reshape(-1)[0]) for logits in (old, new))
    score = None if true is None else f"{float(true):.2f}"
    return abs(second - first), ChangedRow("", score, f"{first:.2f}", None, f"{second:.2f}", None)


def _names(task: TaskSpec, values: np.ndarray) -> str:
    return task.label_separator.join(
        name for name, value in zip(task.labels, values, strict=True) if value > 0
    )


EXAMPLES: dict[str, Callable[..., Example]] = {
    "classification": _changed_class,
    "multi_label": _changed_set,
    "regression": _changed_score,
    "token_classification": _changed_tag,
}
