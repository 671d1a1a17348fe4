"""Multi-head self-attention that also returns its scores before the softmax: what TinyBERT's student fits.

Shape letters: B batch, S length, H hidden, N heads, D head width.
"""

import math

import mindspore as ms
from mindspore import nn, ops

from ..config.bert_config import RELATIVE_DISTANCE
from .layers import DTYPES, Embedding


class SelfAttention(nn.Cell):
    """Attention of every token to every token (Vaswani et al. 2017).

    Construct: hidden [B*S, H], mask_bias [B, 1, 1, S] (0 real, large negative padded), shape (B, S)
    -> context [B*S, H], attention_scores [B, N, S, S] (scaled by 1/sqrt(D), before mask and softmax).

    A cell made by `layers.attention(config)` takes the products of query, key and value, a tuple of their
    biases, and mask_bias, and gives the same two; it need not know relative positions.
    """

    def __init__(self, config, layers):
        super().__init__()
        size = config.hidden_size
        self.heads, self.head_size = config.num_attention_heads, config.head_size
        self.query = layers.dense(size, size, config)
        self.key = layers.dense(size, size, config)
        self.value = layers.dense(size, size, config)
        self.scale = 1.0 / math.sqrt(self.head_size)
        self.score_product = ops.BatchMatMul(transpose_b=True)
        self.context_product = ops.BatchMatMul()
        self.softmax = ops.Softmax(-1)
        self.dropout = layers.dropout(config.attention_probs_dropout_prob)
        self.relative = config.use_relative_positions
        self.dtype, self.compute_type = DTYPES[config.dtype], DTYPES[config.compute_type]
        # One operator for all that lies between the dense layers, where there is one that can do it.
        self.fused = layers.attention is not None and not self.relative
        if self.fused:
            self.operator = layers.attention(config)
        if self.relative:
            self.relative_keys = RelativePositions(config)
            self.relative_values = RelativePositions(config)

    def construct(self, hidden, mask_bias, shape):
        if self.fused:
            query, key = self.query.matmul(hidden), self.key.matmul(hidden)
            biases = (self.query.bias, self.key.bias, self.value.bias)
            return self.operator(query, key, self.value.matmul(hidden), biases, mask_bias)
        query = self._split(self.query(hidden), shape)
        key = self._split(self.key(hidden), shape)
        value = self._split(self.value(hidden), shape)
        scores = self._multiply(self.score_product, query, key)
        if self.relative:
            scores = scores + self.relative_keys.scores(query.astype(ms.float32))
        # Scores and softmax are float32 whatever the types of the rest.
        scores = scores.astype(ms.float32) * self.scale
        probs = self.dropout(self.softmax(scores + mask_bias))
        context = self._multiply(self.context_product, probs, value)
        if self.relative:
            context = context + self.relative_values.mix(probs)
        # [B, N, S, D] -> [B*S, H]
        merged = ops.transpose(context, (0, 2, 1, 3)).reshape(-1, self.heads * self.head_size)
        return merged.astype(self.dtype), scores

    def _split(self, x, shape):
        # [B*S, H] -> [B, N, S, D]
        return ops.transpose(x.reshape(shape[0], shape[1], self.heads, self.head_size), (0, 2, 1, 3))

    def _multiply(self, product, left, right):
        return product(left.astype(self.compute_type), right.astype(self.compute_type))


class RelativePositions(nn.Cell):
    """One vector for each clipped distance j - i, shared by the heads (Shaw et al. 2018, eq. 3 to 5)."""

    def __init__(self, config):
        super().__init__()
        # Part of the attention, which stays in float in a quantized model.
        self.table = Embedding(2 * RELATIVE_DISTANCE + 1, config.head_size, config)
        self.product = ops.BatchMatMul()
        self.product_transposed = ops.BatchMatMul(transpose_b=True)

    def scores(self, query):
        """query [B, N, S, D] -> [B, N, S, S]: each query times the key vector of its distance."""
        batch, heads, length, width = query.shape
        by_position = ops.transpose(query, (2, 0, 1, 3)).reshape(length, batch * heads, width)
        products = self.product_transposed(by_position, self._vectors(length))
        return ops.transpose(products.reshape(length, batch, heads, length), (1, 2, 0, 3))

    def mix(self, probs):
        """probs [B, N, S, S] -> [B, N, S, D]: the value vectors of the distances, weighted by attention."""
        batch, heads, length, _ = probs.shape
        by_position = ops.transpose(probs, (2, 0, 1, 3)).reshape(length, batch * heads, length)
        mixed = self.product(by_position, self._vectors(length))
        return ops.transpose(mixed.reshape(length, batch, heads, -1), (1, 2, 0, 3))

    def _vectors(self, length):
        # [S, S, D]: row i holds the vectors of the distances from i to every j
        places = ops.arange(0, length, 1)
        distance = ops.clamp(
            places.reshape(1, -1) - places.reshape(-1, 1), -RELATIVE_DISTANCE, RELATIVE_DISTANCE
        )
        index = (distance + RELATIVE_DISTANCE).astype(ms.int32).reshape(-1)
        return self.table(index).reshape(length, length, -1)
