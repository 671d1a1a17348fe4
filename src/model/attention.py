"""Multi-head self-attention that also returns its scores before the softmax, as TinyBERT distills them.

Shape letters: B batch, S length, Q queries of a sequence, H hidden, N heads, D head width; N*D is H unless
heads are pruned.
"""

import math

import mindspore as ms
from mindspore import Tensor, nn, ops

from ..config.bert_config import RELATIVE_DISTANCE, BertConfig
from .layers import DTYPES, Embedding, Layers


class SelfAttention(nn.Cell):
    """Attention of the first Q tokens of a sequence (usually all) to every token (Vaswani et al. 2017).

    Construct: queries [B*Q, H] (the hidden states of these tokens), hidden [B*S, H], mask_bias [B, 1, 1, S]
    (0 real, large negative padded), batch B
    -> context [B*Q, N*D], attention_scores [B, N, Q, S] (scaled by 1/sqrt(D), before mask and softmax).

    `layers.attention(config)` constructs a fused cell with the same outputs, for query, key and value without
    their biases, a tuple of the three biases, and mask_bias; it does not support relative positions. Its
    method `packed` attends within sequences of any lengths in one row.
    """

    def __init__(self, config: BertConfig, layers: Layers) -> None:
        super().__init__()
        size, width = config.hidden_size, config.attention_size
        self.heads, self.head_size = config.num_attention_heads, config.head_size
        self.query = layers.dense(size, width, config)
        self.key = layers.dense(size, width, config)
        self.value = layers.dense(size, width, config)
        self.scale = 1.0 / math.sqrt(self.head_size)
        self.score_matmul = ops.BatchMatMul(transpose_b=True)
        self.context_matmul = ops.BatchMatMul()
        self.softmax = ops.Softmax(-1)
        self.dropout = layers.dropout(config.attention_probs_dropout_prob)
        self.relative = config.use_relative_positions
        self.dtype, self.compute_type = DTYPES[config.dtype], DTYPES[config.compute_type]
        self.fused = False
        if layers.attention is not None and not self.relative:
            self.fused, self.operator = True, layers.attention(config)
        if self.relative:
            self.relative_keys = RelativePositions(config)
            self.relative_values = RelativePositions(config)

    def construct(
        self, queries: Tensor, hidden: Tensor, mask_bias: Tensor, batch: int
    ) -> tuple[Tensor, Tensor]:
        if self.fused:
            query, key = self.query.matmul(queries), self.key.matmul(hidden)
            biases = (self.query.bias, self.key.bias, self.value.bias)
            return self.operator(query, key, self.value.matmul(hidden), biases, mask_bias)
        query = self._split(self.query(queries), batch)
        key = self._split(self.key(hidden), batch)
        value = self._split(self.value(hidden), batch)
        scores = self._matmul(self.score_matmul, query, key)
        if self.relative:
            scores = scores + self.relative_keys.scores(query.astype(ms.float32), key.shape[2])
        # Scores and softmax are always float32.
        scores = scores.astype(ms.float32) * self.scale
        probs = self.dropout(self.softmax(scores + mask_bias))
        context = self._matmul(self.context_matmul, probs, value)
        if self.relative:
            context = context + self.relative_values.mix(probs)
        # [B, N, Q, D] -> [B*Q, N*D]
        merged = ops.transpose(context, (0, 2, 1, 3)).reshape(-1, self.heads * self.head_size)
        return merged.astype(self.dtype), scores

    def packed(self, queries: Tensor, hidden: Tensor, sequences: Tensor, rows: Tensor) -> Tensor:
        """queries [P, H], the rows `rows` [P] of hidden [R, H]; sequences [R] -> context [P, N*D].

        Tokens attend to those with the same number in `sequences`, 0 is padding. Needs the fused cell and
        float layers.
        """
        if queries.shape[0] < hidden.shape[0]:
            return self._packed_few(queries, hidden, sequences, rows)
        query, key, value = self.query.matmul(queries), self.key.matmul(hidden), self.value.matmul(hidden)
        biases = (self.query.bias, self.key.bias, self.value.bias)
        return self.operator.packed(query, key, value, biases, sequences, rows)

    def _packed_few(self, queries: Tensor, hidden: Tensor, sequences: Tensor, rows: Tensor) -> Tensor:
        """As `packed`, with the key and value matrices applied to P queries, not to R tokens.

        With K and V those of a head, q (K h_j) = (K^T q) h_j and sum_j p_j (V h_j) = V (sum_j p_j h_j). A
        key's bias adds the same to all scores of a query, so that no probability depends on it.
        """
        count, width = queries.shape[0], self.heads * self.head_size
        matrices = (self.heads, self.head_size, hidden.shape[1])
        query = ops.transpose(self.query(queries).reshape(count, self.heads, self.head_size), (1, 0, 2))
        query = self.context_matmul(query, self.key.weight.reshape(matrices))  # [N, P, H]
        mixed = self.operator.packed_heads(ops.transpose(query, (1, 0, 2)), hidden, sequences, rows)
        context = self.score_matmul(ops.transpose(mixed, (1, 0, 2)), self.value.weight.reshape(matrices))
        return ops.transpose(context, (1, 0, 2)).reshape(count, width) + self.value.bias

    def _split(self, x: Tensor, batch: int) -> Tensor:
        # [B*S, N*D] -> [B, N, S, D]
        return ops.transpose(x.reshape(batch, -1, self.heads, self.head_size), (0, 2, 1, 3))

    def _matmul(self, operator: nn.Cell, left: Tensor, right: Tensor) -> Tensor:
        return operator(left.astype(self.compute_type), right.astype(self.compute_type))


class RelativePositions(nn.Cell):
    """One vector per clipped distance j - i, shared by the heads (Shaw et al. 2018, eq. 3 to 5)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        # Part of the attention, which stays float in a quantized model.
        self.table = Embedding(2 * RELATIVE_DISTANCE + 1, config.head_size, config)
        self.matmul = ops.BatchMatMul()
        self.matmul_transposed = ops.BatchMatMul(transpose_b=True)

    def scores(self, query: Tensor, length: int) -> Tensor:
        """query [B, N, Q, D] -> [B, N, Q, S]: each query times the key vector of its distance."""
        batch, heads, queries, width = query.shape
        by_position = ops.transpose(query, (2, 0, 1, 3)).reshape(queries, batch * heads, width)
        products = self.matmul_transposed(by_position, self._vectors(queries, length))
        return ops.transpose(products.reshape(queries, batch, heads, length), (1, 2, 0, 3))

    def mix(self, probs: Tensor) -> Tensor:
        """probs [B, N, Q, S] -> [B, N, Q, D]: the value vectors of the distances, weighted by attention."""
        batch, heads, queries, length = probs.shape
        by_position = ops.transpose(probs, (2, 0, 1, 3)).reshape(queries, batch * heads, length)
        mixed = self.matmul(by_position, self._vectors(queries, length))
        return ops.transpose(mixed.reshape(queries, batch, heads, -1), (1, 2, 0, 3))

    def _vectors(self, queries: int, length: int) -> Tensor:
        # [Q, S, D]: the vector of the distance from i to j
        distance = ops.clamp(
            ops.arange(0, length, 1).reshape(1, -1) - ops.arange(0, queries, 1).reshape(-1, 1),
            -RELATIVE_DISTANCE,
            RELATIVE_DISTANCE,
        )
        index = (distance + RELATIVE_DISTANCE).astype(ms.int32).reshape(-1)
        return self.table(index).reshape(queries, length, -1)
