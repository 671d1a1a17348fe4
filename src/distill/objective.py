"""What a student is trained on: a table of rows (feature, loss, weight) for each stage and phase.

Features: `embedding`, `hidden`, `attention` (student and teacher tensors over the layer map), `logits` (both
sides divided by T) and `labels` (logits against the label).
"""

from typing import NamedTuple

from src.distill.losses import attention_mse, hidden_mse, label_cross_entropy, score_mse, soft_cross_entropy
from src.errors import UserError


class Row(NamedTuple):
    """One term of a loss: which tensors, compared how, with what weight."""

    feature: str
    loss: object
    weight: float


def intermediate_rows(
    embedding_weight, hidden_weight, attention_weight, hidden_loss=hidden_mse, attention_loss=attention_mse
):
    """Phase 1 and general distillation: the terms of equation 11 below the prediction layer.

    `hidden_loss` and `attention_loss` compute what losses.hidden_mse and losses.attention_mse do.
    """
    rows = (
        Row("embedding", hidden_loss, embedding_weight),
        Row("hidden", hidden_loss, hidden_weight),
        Row("attention", attention_loss, attention_weight),
    )
    kept = tuple(row for row in rows if row.weight)
    if not kept:
        raise UserError(
            "embedding_weight, hidden_weight and attention_weight are all 0: nothing is left to train on"
        )
    return kept


def prediction_rows(regression, label_weight=0.0, fit_labels=False):
    """Phase 2: the teacher's logits (or score), and the label where it has a weight.

    `fit_labels` makes a regression fit the label alone, as the original did for STS-B.
    """
    if regression and fit_labels:
        return label_rows(regression)
    rows = (Row("logits", score_mse if regression else soft_cross_entropy, 1.0),)
    return rows + (label_rows(regression, label_weight) if label_weight else ())


def label_rows(regression, weight=1.0):
    """Training on labels alone: cross-entropy, or squared error for regression."""
    return (Row("labels", score_mse if regression else label_cross_entropy, weight),)
