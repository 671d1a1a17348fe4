"""The kernels as cells without parameters, the operators that a BERT's layers compute with.

Shape letters: B batch, S length, H hidden, N heads, R rows (B * S).
"""

import math

import numpy as np
from mindspore import Tensor, nn

from . import operators


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


class LayerNormOp(nn.Cell):
    """Layer normalisation. Construct: x [R, H], weight, shift [H] -> [R, H]."""

    def __init__(self, library, width, eps):
        super().__init__()
        self.eps = _number(eps)
        self.operator = operators.layer_norm(library)

    def construct(self, x, weight, shift):
        return self.operator(x, weight, shift, self.eps)


class FakeQuantize(nn.Cell):
    """x on a grid of `levels` steps to each side of zero.

    Construct: x [R, H], threshold [1] or [R, 1] -> [R, H].
    """

    def __init__(self, library, levels):
        super().__init__()
        self.levels = _number(levels)
        self.operator = operators.fake_quantize(library)

    def construct(self, x, threshold):
        return self.operator(x, threshold, self.levels)


class Dropping(nn.Cell):
    """A cell with dropout. Its masks are a function of the run's seed, its own number and the step.

    The step is a Parameter that counts (the optimizer's), given by bind_dropout before training.
    """

    def __init__(self, rate):
        super().__init__()
        self.drops = rate > 0
        self.rate = _number(rate)
        self.bound = False

    def bind(self, step, seed, number):
        """Take the masks from these."""
        # Past nn.Cell's registration: the Parameter belongs to the optimizer, and to no model folder.
        object.__setattr__(self, "step", step)
        self.place = Tensor(np.array([seed, number], np.uint32).view(np.int32))
        self.bound = True

    def check(self):
        """Say, when a graph is compiled, what is missing."""
        if not self.bound:
            raise ValueError("dropout has no step to take its masks from: call bind_dropout before training")


def bind_dropout(network, step, seed):
    """Number the dropping cells of a network and tie their masks to `step` [1] int32 and `seed`.

    The order of the cells, and so a mask, depends on the network alone.
    """
    cells = (cell for _, cell in network.cells_and_names() if isinstance(cell, Dropping))
    for number, cell in enumerate(cells):
        cell.bind(step, seed % 2**32, number)


class Dropout(Dropping):
    """Construct: x of any shape -> x with elements dropped in training."""

    def __init__(self, library, rate):
        super().__init__(rate)
        self.operator = operators.dropout(library)

    def construct(self, x):
        if self.training and self.drops:
            self.check()
            x = self.operator(x, self.step, self.place, self.rate)
        return x


class AddBiasDropoutNorm(Dropping):
    """Bias, dropout, residual and normalisation.

    Construct: product [R, H], bias [H], residual [R, H], weight, shift [H] -> [R, H].
    """

    def __init__(self, library, width, eps, dropout):
        super().__init__(dropout)
        self.eps = _number(eps)
        self.operator = operators.residual_norm(library)
        self.dropping = operators.dropout_norm(library)

    def construct(self, product, bias, residual, weight, shift):
        if self.training and self.drops:
            self.check()
            draw = (self.step, self.place, self.rate)
            return self.dropping(product, bias, residual, weight, shift, self.eps, *draw)
        return self.operator(product, bias, residual, weight, shift, self.eps)


class Attention(Dropping):
    """All between the dense layers of self-attention.

    Construct: query, key, value [R, H], their biases (three of [H]), mask_bias [B, 1, 1, S]
    -> context [R, H], attention_scores [B, N, S, S] (scaled, before mask and softmax).
    """

    def __init__(self, library, config):
        super().__init__(config.attention_probs_dropout_prob)
        self.scale = _number(1.0 / math.sqrt(config.head_size))
        self.operator = operators.attention(library, config.num_attention_heads)
        self.dropping = operators.dropout_attention(library, config.num_attention_heads)

    def construct(self, query, key, value, biases, mask_bias):
        inputs = (query, biases[0], key, biases[1], value, biases[2], mask_bias, self.scale)
        if self.training and self.drops:
            self.check()
            context, scores = self.dropping(*inputs, self.step, self.place, self.rate)
        else:
            context, scores = self.operator(*inputs)
        return context, scores
