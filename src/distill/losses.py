"""TinyBERT's losses (Jiao et al. 2020, equations 7 to 10) and MiniLM's, one value per row, without padding.

All take (student, teacher, mask), as the terms of an objective do; states and scores of a teacher are float32
or, from a cache, float16. Losses on the logits of a row ignore the mask; losses on the logits of tokens get
the mask of the labeled tokens, [B, S] float32.
Shape letters: B batch, S length, H hidden, N heads, C labels.
"""

import math
from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, nn, ops

from ..config.bert_config import ATTENTION_MASK_VALUE
from ..tasks import IGNORE_INDEX


def hidden_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean over a row's real tokens and H of (student - teacher)^2.

    student, teacher [B*S, H], mask [B, S] float32 -> [B].
    """
    difference = student - teacher.astype(ms.float32)
    by_token = ops.ReduceMean()(difference * difference, -1).reshape(mask.shape)
    return (by_token * mask).sum(-1) / mask.sum(-1)


def attention_mse(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean over heads, real queries and real keys of the squared difference of scores before the softmax.

    student, teacher [B, N, S, S], mask [B, S] float32 -> [B].
    """
    batch, heads, length, _ = student.shape
    difference = student - teacher.astype(ms.float32)
    by_pair = (difference * difference).sum(1)
    real_pairs = mask.reshape(batch, length, 1) * mask.reshape(batch, 1, length)
    return (by_pair * real_pairs).sum((1, 2)) / (real_pairs.sum((1, 2)) * heads)


class RelationLoss(nn.Cell):
    """Divergence of a student's relations from the teacher's (MiniLMv2, Wang et al. 2021, equations 4 to 7).

    The relations of a layer's queries (keys, values) are softmax(X X^T / sqrt(d)), with X split into `heads`
    relation heads of d elements, whatever the attention's own. The loss is the mean over heads and real
    tokens of KL(teacher || student). Construct: student [B*S, H], teacher [B*S, H'], mask [B, S] float32
    -> [B].
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.product = ops.BatchMatMul(transpose_b=True)

    def construct(self, student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
        batch, length = mask.shape
        bias = (1.0 - mask).reshape(batch, 1, 1, length) * ATTENTION_MASK_VALUE
        log_p = ops.log_softmax(self._scores(teacher.astype(ms.float32), mask) + bias, -1)
        log_q = ops.log_softmax(self._scores(student, mask) + bias, -1)
        by_token = (ops.exp(log_p) * (log_p - log_q)).sum((1, 3)) / self.heads
        return (by_token * mask).sum(-1) / mask.sum(-1)

    def _scores(self, states: Tensor, mask: Tensor) -> Tensor:
        # [B*S, H] -> [B, heads, S, S]
        width = states.shape[-1] // self.heads
        split = ops.transpose(states.reshape(*mask.shape, self.heads, width), (0, 2, 1, 3))
        return self.product(split, split) / math.sqrt(width)


def soft_cross_entropy(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """-sum over classes of softmax(teacher) * log_softmax(student): [B, C] twice (divided by T) -> [B]."""
    return -(ops.softmax(teacher, -1) * ops.log_softmax(student, -1)).sum(-1)


def label_cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy to the label: logits [B, C], labels [B] int32 -> [B]."""
    picked = ops.gather_elements(ops.log_softmax(logits, -1), 1, labels.astype(ms.int32).reshape(-1, 1))
    return -picked.reshape(-1)


def binary_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Mean over labels of -t log(s(z)) - (1 - t) log(1 - s(z)), s the sigmoid: [B, C] twice -> [B].

    `targets` t are 0 or 1, or probabilities. Computed as softplus(z) - t z, which never takes the logarithm
    of 0; the mean is that of transformers (BCEWithLogitsLoss).
    """
    return (ops.softplus(logits) - targets * logits).mean(-1)


def soft_binary_cross_entropy(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """`binary_cross_entropy` to the teacher's sigmoid: [B, C] twice (divided by T) -> [B]."""
    return binary_cross_entropy(student, ops.sigmoid(teacher), mask)


def of_labeled(loss: Callable[..., Tensor], share: float) -> Callable[..., Tensor]:
    """`loss` of the rows that have a label, divided by their `share`; 0 for those marked with IGNORE_INDEX or
    NaN, which are replaced first: 0 * NaN would be NaN."""
    scale = 1.0 / share

    def by_row(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        if labels.dtype == ms.int32:
            known = labels != IGNORE_INDEX
            labels = ops.maximum(labels, 0)
        else:
            known = ops.logical_not(ops.isnan(labels))
            labels = ops.where(known, labels, ops.zeros_like(labels))
            known = known.reshape(labels.shape[0], -1)[:, 0]
        return loss(logits, labels, mask) * known.astype(ms.float32) * scale

    return by_row


def token_soft_cross_entropy(student: Tensor, teacher: Tensor, label_mask: Tensor) -> Tensor:
    """Mean over a row's labeled tokens of their `soft_cross_entropy`: [B, S, C] twice -> [B]."""
    return _mean(soft_cross_entropy(student, teacher, label_mask), label_mask)


def token_cross_entropy(logits: Tensor, labels: Tensor, label_mask: Tensor) -> Tensor:
    """Mean over a row's labeled tokens of the cross-entropy to their label.

    logits [B, S, C], labels [B, S] int32 (any value where a token has no label) -> [B].
    """
    classes = ops.maximum(labels.astype(ms.int32), 0).reshape(-1, 1)
    by_class = ops.log_softmax(logits, -1).reshape(-1, logits.shape[-1])
    return _mean(-ops.gather_elements(by_class, 1, classes).reshape(label_mask.shape), label_mask)


def _mean(by_token: Tensor, label_mask: Tensor) -> Tensor:
    # A row without labeled tokens has the loss 0; a division by zero would make the whole batch NaN.
    return (by_token * label_mask).sum(-1) / ops.maximum(label_mask.sum(-1), 1.0)


def mse_loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Squared error of a regression: [B, 1] and [B] or [B, 1] -> [B]."""
    difference = scores.reshape(-1) - targets.reshape(-1)
    return difference * difference
