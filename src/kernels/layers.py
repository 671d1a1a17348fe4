"""The kernels as cells without parameters, the operators that a BERT's layers compute with.

Shape letters: B batch, S length, H hidden, N heads, R rows (B * S).
"""

import math

import numpy as np
from mindspore import Tensor, nn, ops

from src.kernels import operators


def _number(value):
    # The kernels take their numbers as tensors: an attribute would have to be written into the C++ call.
    return Tensor(np.array([value], np.float32))


class BiasGelu(nn.Cell):
    """gelu(product + bias). Construct: product [R, H], bias [H] -> [R, H]."""

    def __init__(self, library):
        super().__init__()
        self.operator = operators.bias_gelu(library)

    def construct(self, product, bias):
        return self.operator(product, bias)


class Normalise(nn.Cell):
    """Layer normalisation. Construct: x [R, H], weight, shift [H] -> [R, H]."""

    def __init__(self, library, width, eps):
        super().__init__()
        self.eps = _number(eps)
        self.operator = operators.layer_norm(library)

    def construct(self, x, weight, shift):
        return self.operator(x, weight, shift, self.eps)


class NormaliseSum(nn.Cell):
    """Bias, dropout, residual and normalisation.

    Construct: product [R, H], bias [H], residual [R, H], weight, shift [H] -> [R, H].
    """

    def __init__(self, library, width, eps, dropout):
        super().__init__()
        self.eps = _number(eps)
        self.operator = operators.residual_norm(library)
        self.drops = dropout > 0
        self.dropout = nn.Dropout(p=dropout)
        self.bias_add = ops.BiasAdd()
        self.no_bias = Tensor(np.zeros(width, np.float32))

    def construct(self, product, bias, residual, weight, shift):
        if self.training and self.drops:
            product = self.dropout(self.bias_add(product, bias))
            bias = self.no_bias
        return self.operator(product, bias, residual, weight, shift, self.eps)


class Attention(nn.Cell):
    """All between the dense layers of self-attention, without dropout.

    Construct: query, key, value [R, H], their biases (three of [H]), mask_bias [B, 1, 1, S]
    -> context [R, H], attention_scores [B, N, S, S] (scaled, before mask and softmax).
    """

    def __init__(self, library, config):
        super().__init__()
        self.scale = _number(1.0 / math.sqrt(config.head_size))
        self.operator = operators.attention(library, config.num_attention_heads)

    def construct(self, query, key, value, biases, mask_bias):
        context, scores = self.operator(
            query, biases[0], key, biases[1], value, biases[2], mask_bias, self.scale
        )
        return context, scores
