"""TinyBERT's two phases in PyTorch on transformers' BERT, as a user would write them from the paper.

Jiao et al. 2020: equations 7 (attention scores), 8 (hidden states), 9 (embeddings), 10 (prediction). As in
the authors' code the teacher runs in every step, all positions count, padding included, and one linear layer
projects hidden states and embeddings to the teacher's width.
Shape letters: B batch, S length, H hidden, N heads, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import log_softmax, mse_loss, softmax
from transformers import AttentionInterface, BertConfig, BertForSequenceClassification
from transformers.masking_utils import AttentionMaskInterface, eager_mask

ATTENTION = "with_scores"
OUTPUTS = {"output_hidden_states": True, "output_attentions": True}
MASKED_SCORE = -1e2  # lower scores belong to padded keys


def attention_with_scores(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Attend with query, key and value [B, N, S, H / N]; returns the scores instead of the probabilities."""
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    probs = functional.dropout(softmax(scores, -1), dropout, module.training)
    return (probs @ value).transpose(1, 2).contiguous(), scores


def load_bert(source: str | Path | BertConfig, **overrides: Any) -> BertForSequenceClassification:
    """Load a classifier that returns attention scores, or initialize one from a transformers config."""
    AttentionInterface.register(ATTENTION, attention_with_scores)
    AttentionMaskInterface.register(ATTENTION, eager_mask)
    if isinstance(source, BertConfig):
        source.update(overrides)
        return BertForSequenceClassification._from_config(source, attn_implementation=ATTENTION)
    return BertForSequenceClassification.from_pretrained(source, attn_implementation=ATTENTION, **overrides)


class TinyBert(nn.Module):
    """Teacher, student and the projection between their widths, with the losses of both phases.

    `layer_map` gives the teacher layer of each student layer, counted from 1. A batch is input_ids,
    token_type_ids, attention_mask [B, S] int64.
    """

    def __init__(
        self,
        teacher: BertForSequenceClassification,
        student: BertForSequenceClassification,
        layer_map: Sequence[int],
    ) -> None:
        super().__init__()
        self.teacher, self.student, self.layer_map = teacher.requires_grad_(False), student, layer_map
        self.projection = nn.Linear(student.config.hidden_size, teacher.config.hidden_size)
        self.train()

    def train(self, mode: bool = True) -> TinyBert:
        """Switch the student's dropout on or off; the teacher stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def _forward(self, batch: Sequence[Tensor]) -> tuple[Any, Any]:
        """Return the SequenceClassifierOutput of the student and that of the teacher."""
        inputs = dict(zip(("input_ids", "token_type_ids", "attention_mask"), batch, strict=True))
        with torch.no_grad():
            teacher = self.teacher(**inputs, **OUTPUTS)
        return self.student(**inputs, **OUTPUTS), teacher

    def intermediate(self, batch: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Phase 1: the losses of embeddings, hidden states and attention scores."""
        student, teacher = self._forward(batch)
        embedding = mse_loss(self.projection(student.hidden_states[0]), teacher.hidden_states[0])
        hidden = attention = torch.zeros(())
        for m, layer in enumerate(self.layer_map):
            projected = self.projection(student.hidden_states[m + 1])
            hidden = hidden + mse_loss(projected, teacher.hidden_states[layer])
            scores, target = _zero_masked(student.attentions[m]), _zero_masked(teacher.attentions[layer - 1])
            attention = attention + mse_loss(scores, target)
        return embedding, hidden, attention

    def prediction(self, batch: Sequence[Tensor], temperature: float = 1.0) -> tuple[Tensor]:
        """Phase 2: the soft cross-entropy between the logits of student and teacher."""
        student, teacher = self._forward(batch)
        target = softmax(teacher.logits / temperature, -1)
        return (-(target * log_softmax(student.logits / temperature, -1)).sum(-1).mean(),)


def _zero_masked(scores: Tensor) -> Tensor:
    return torch.where(scores <= MASKED_SCORE, torch.zeros_like(scores), scores)


class Trainer:
    """Training steps of one phase: backward, clipping by the global norm, AdamW."""

    def __init__(
        self,
        network: nn.Module,
        losses: Callable[..., Iterable[Tensor]],
        learning_rate: float = 5e-5,
        clip_norm: float = 1.0,
        **optimizer: Any,
    ) -> None:
        self.losses, self.clip_norm = losses, clip_norm
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, learning_rate, weight_decay=1e-4, **optimizer)

    def step(self, batch: Sequence[Tensor]) -> float:
        """Run one update; returns the loss."""
        loss = sum(self.losses(batch), torch.zeros(()))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
        self.optimizer.step()
        return loss.item()
