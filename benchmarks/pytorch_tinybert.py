"""TinyBERT's two phases in PyTorch on transformers' BERT, as a user would write them from the paper.

Jiao et al. 2020: equations 7 (attention scores), 8 (hidden states), 9 (embeddings), 10 (prediction). As in
the authors' code the teacher is asked in every step, all positions count, padding too, and one matrix fits
hidden states and embeddings to the teacher's width.
Shape letters: B batch, S length, H hidden, N heads, C labels.
"""

import torch
from torch import nn
from torch.nn.functional import dropout as drop
from torch.nn.functional import log_softmax, mse_loss, softmax
from transformers import AttentionInterface, BertConfig, BertForSequenceClassification
from transformers.masking_utils import AttentionMaskInterface, eager_mask

ATTENTION = "with_scores"
ASKED = {"output_hidden_states": True, "output_attentions": True}
ATTENTION_MASK_VALUE = -1e2  # scores below are those of padded keys


def attention_with_scores(module, query, key, value, attention_mask, scaling, dropout=0.0, **_):
    """Attention of [B, N, S, H / N] three times that gives its scores in place of its probabilities."""
    scores = query @ key.transpose(2, 3) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    probs = drop(softmax(scores, -1), dropout, module.training)
    return (probs @ value).transpose(1, 2).contiguous(), scores


def load_bert(place, **changes):
    """A classifier of a folder, or fresh from a transformers config, that attends with scores."""
    AttentionInterface.register(ATTENTION, attention_with_scores)
    AttentionMaskInterface.register(ATTENTION, eager_mask)
    if isinstance(place, BertConfig):
        place.update(changes)
        return BertForSequenceClassification._from_config(place, attn_implementation=ATTENTION)
    return BertForSequenceClassification.from_pretrained(place, attn_implementation=ATTENTION, **changes)


class TinyBert(nn.Module):
    """A teacher, a student and the projection between their widths; the losses of both phases.

    `layer_map` has the teacher layer of each student layer, from 1. A batch is input_ids, token_type_ids,
    attention_mask [B, S] int64.
    """

    def __init__(self, teacher, student, layer_map):
        super().__init__()
        self.teacher, self.student, self.layer_map = teacher.requires_grad_(False), student, layer_map
        self.fit = nn.Linear(student.config.hidden_size, teacher.config.hidden_size)
        self.train()

    def train(self, mode=True):
        """The student's dropout on or off; the teacher has none."""
        super().train(mode)
        self.teacher.eval()
        return self

    def _ask(self, batch):
        named = dict(zip(("input_ids", "token_type_ids", "attention_mask"), batch, strict=True), **ASKED)
        with torch.no_grad():
            teacher = self.teacher(**named)
        return self.student(**named), teacher

    def intermediate(self, batch):
        """Phase 1: the losses of embeddings, hidden states and attention scores."""
        student, teacher = self._ask(batch)
        embedding = mse_loss(self.fit(student.hidden_states[0]), teacher.hidden_states[0])
        hidden = attention = 0.0
        for m, layer in enumerate(self.layer_map):
            hidden = hidden + mse_loss(self.fit(student.hidden_states[m + 1]), teacher.hidden_states[layer])
            ours, theirs = _visible(student.attentions[m]), _visible(teacher.attentions[layer - 1])
            attention = attention + mse_loss(ours, theirs)
        return embedding, hidden, attention

    def prediction(self, batch, temperature=1.0):
        """Phase 2: the cross-entropy of the student's logits with the teacher's."""
        student, teacher = self._ask(batch)
        wanted = softmax(teacher.logits / temperature, -1)
        return (-(wanted * log_softmax(student.logits / temperature, -1)).sum(-1).mean(),)


def _visible(scores):
    return torch.where(scores <= ATTENTION_MASK_VALUE, torch.zeros_like(scores), scores)


class Trainer:
    """Steps of one phase: backward, clipping by the global norm, AdamW."""

    def __init__(self, network, losses, learning_rate=5e-5, clip_norm=1.0, **optimizer):
        self.losses, self.clip_norm = losses, clip_norm
        self.weights = [weight for weight in network.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, learning_rate, weight_decay=1e-4, **optimizer)

    def step(self, batch):
        """One update; returns the loss."""
        loss = sum(self.losses(batch))
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, self.clip_norm)
        self.optimizer.step()
        return loss.item()
