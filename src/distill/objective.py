"""What a student is trained on: a table of rows (feature, loss, weight) for each stage and phase.

Features: `embedding`, `hidden`, `attention` (student and teacher tensors over the layer map), `logits` (both
sides divided by T) and `labels` (logits against the label).
"""

from typing import NamedTuple

from ..errors import UserError
from ..tasks import for_mode
from . import losses

# Output mode -> loss of a row of feature `logits`, of a row of feature `labels`.
TEACHER_LOSSES = {
    "classification": losses.soft_cross_entropy,
    "multi_label": losses.soft_binary_cross_entropy,
    "regression": losses.mse_loss,
    "token_classification": losses.token_soft_cross_entropy,
}
LABEL_LOSSES = {
    "classification": losses.label_cross_entropy,
    "multi_label": losses.binary_cross_entropy,
    "regression": losses.mse_loss,
    "token_classification": losses.token_cross_entropy,
}


class Row(NamedTuple):
    """One term of a loss: which tensors, compared how, with what weight."""

    feature: str
    loss: object
    weight: float


def intermediate_rows(
    embedding_weight,
    hidden_weight,
    attention_weight,
    hidden_loss=losses.hidden_mse,
    attention_loss=losses.attention_mse,
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


def prediction_rows(output_mode, label_weight=0.0, fit_labels=False):
    """Phase 2: the teacher's logits (or score), and the label where it has a weight.

    `fit_labels` makes a regression fit the label alone, as the original did for STS-B.
    """
    if output_mode == "regression" and fit_labels:
        return label_rows(output_mode)
    rows = (Row("logits", for_mode(TEACHER_LOSSES, output_mode, "loss to a teacher"), 1.0),)
    return rows + (label_rows(output_mode, label_weight) if label_weight else ())


def label_rows(output_mode, weight=1.0):
    """Training on labels alone: cross-entropy, one yes or no a label, or squared error, by output mode."""
    return (Row("labels", for_mode(LABEL_LOSSES, output_mode, "loss to its labels"), weight),)
