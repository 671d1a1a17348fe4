"""What a student is trained on: the loss terms (feature, loss, weight) of each stage and phase.

Features: `embedding`, `hidden`, `attention` (student and teacher tensors over the layer map), `relation`
(queries, keys and values of the student's last layer and of one layer of the teacher), `logits` (both
sides divided by T) and `labels` (logits against the label).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import UserError
from ..tasks import for_mode
from . import losses

# Output mode -> loss of the feature `logits`, of the feature `labels`.
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


class LossTerm(NamedTuple):
    """One term of a loss: which tensors, compared how, with what weight."""

    feature: str
    loss: Callable[..., Any]
    weight: float


def intermediate_terms(
    embedding_weight: float,
    hidden_weight: float,
    attention_weight: float,
    *,
    hidden_loss: Callable[..., Any] = losses.hidden_mse,
    attention_loss: Callable[..., Any] = losses.attention_mse,
) -> tuple[LossTerm, ...]:
    """Phase 1 and general distillation: the terms of equation 11 below the prediction layer.

    `hidden_loss` and `attention_loss` are implementations of losses.hidden_mse and losses.attention_mse.
    Raises UserError where all weights are 0.
    """
    terms = (
        LossTerm("embedding", hidden_loss, embedding_weight),
        LossTerm("hidden", hidden_loss, hidden_weight),
        LossTerm("attention", attention_loss, attention_weight),
    )
    active = tuple(term for term in terms if term.weight)
    if not active:
        raise UserError(
            "embedding_weight, hidden_weight and attention_weight are all 0: no loss is left; give "
            "one of them a weight"
        )
    return active


def relation_terms(heads: int) -> tuple[LossTerm, ...]:
    """Relations of queries, keys and values of one layer, equally weighted (MiniLMv2, Wang et al. 2021)."""
    return (LossTerm("relation", losses.RelationLoss(heads), 1.0),)


def prediction_terms(
    output_mode: str, label_weight: float = 0.0, fit_labels: bool = False, labeled_share: float = 1.0
) -> tuple[LossTerm, ...]:
    """Phase 2: the teacher's logits (or score), and the labels where they have a weight.

    With `fit_labels` a regression is trained on the labels alone, as in the original for STS-B.
    `labeled_share` is that of `label_terms`.
    """
    if output_mode == "regression" and fit_labels:
        return label_terms(output_mode, labeled_share=labeled_share)
    terms = (LossTerm("logits", for_mode(TEACHER_LOSSES, output_mode, "loss to a teacher"), 1.0),)
    return terms + (label_terms(output_mode, label_weight, labeled_share) if label_weight else ())


def logits_temperature(output_mode: str, temperature: float) -> float:
    """What divides the logits of both sides: `temperature`, or 1 in a regression, whose scores have none."""
    return 1.0 if output_mode == "regression" else temperature


def label_terms(output_mode: str, weight: float = 1.0, labeled_share: float = 1.0) -> tuple[LossTerm, ...]:
    """Training on labels alone: cross-entropy, binary cross-entropy or squared error, by output mode.

    Where a share of the rows below 1 has a label, the others have the loss 0 and these weigh 1 / share: over
    an epoch and all ranks the term is the mean over the labeled rows. Raises UserError for a share of 0.
    """
    loss = for_mode(LABEL_LOSSES, output_mode, "loss to its labels")
    if not labeled_share:
        raise UserError(
            "no training row has a label, which --label_weight and --regression_target label need; leave "
            "them out"
        )
    if labeled_share < 1:
        loss = losses.of_labeled(loss, labeled_share)
    return (LossTerm("labels", loss, weight),)
