"""The building blocks a BERT is made of, and the table through which other rooms replace them.

The forms are chosen for speed on a CPU and are exact elsewhere: hidden states stay two-dimensional, weights
are (out, in), LayerNorm takes its row means from a matrix product, GELU is composed from erf. Shape letters:
R rows (batch x length), H width, O output width.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import TruncatedNormal, Zero, initializer


def _fresh(config):
    # Cut at two sigma as in BERT's own code; the framework's default bounds are at 2.0, which cuts nothing.
    sigma = config.initializer_range
    return TruncatedNormal(sigma, a=-2 * sigma, b=2 * sigma)


DTYPES = {"float32": ms.float32, "float16": ms.float16}


class MatMul(nn.Cell):
    """x W^T, multiplied in `config.compute_type`.

    Construct: x [R, H], weight [O, H] -> [R, O] in `config.dtype`.
    """

    def __init__(self, config):
        super().__init__()
        self.matmul = ops.MatMul(transpose_b=True)
        self.dtype, self.compute_type = DTYPES[config.dtype], DTYPES[config.compute_type]

    def construct(self, x, weight):
        # A cast to the type that is there already vanishes from the graph.
        return self.matmul(x.astype(self.compute_type), weight.astype(self.compute_type)).astype(self.dtype)


class Dense(nn.Cell):
    """y = x W^T + b. Construct: x [R, H] -> [R, O] in `config.dtype`.

    The weights themselves are float32, as their updates need. `multiply` leaves the bias to the operator that
    follows, which adds it in passing; `operator` multiplies: a constructor (config) of a cell as MatMul.
    """

    def __init__(self, in_size, out_size, config, operator=MatMul):
        super().__init__()
        self.weight = Parameter(initializer(_fresh(config), (out_size, in_size)))
        self.bias = Parameter(initializer(Zero(), (out_size,)))
        self.product = operator(config)
        self.bias_add = ops.BiasAdd()
        self.dtype = DTYPES[config.dtype]

    def construct(self, x):
        return self.bias_add(self.matmul(x), self.bias.astype(self.dtype))

    def matmul(self, x):
        """x W^T: [R, H] -> [R, O]."""
        return self.product(x, self.weight)


class EmbeddingLookup(nn.Cell):
    """Construct: table [V, H], ids [R] int32 -> its rows [R, H]."""

    def construct(self, table, ids):
        return ops.gather(table, ids, 0)


class Embedding(nn.Cell):
    """Rows of a table. Construct: ids [R] int32 -> [R, H] float32.

    `operator` looks them up: a constructor () of a cell as EmbeddingLookup.
    """

    def __init__(self, rows, width, config, operator=EmbeddingLookup):
        super().__init__()
        self.weight = Parameter(initializer(_fresh(config), (rows, width)))
        self.lookup = operator()

    def construct(self, ids):
        return self.lookup(self.weight, ids)


class LayerNormOp(nn.Cell):
    """Layer normalisation (Ba et al. 2016) in float32. Construct: x [R, H], weight, shift [H] -> [R, H]."""

    def __init__(self, width, eps):
        super().__init__()
        # A product with a column of 1/H gives row means two to three times faster than a reduction on a CPU.
        self.mean_column = Tensor(np.full((width, 1), 1.0 / width, np.float32))
        self.eps = eps
        self.matmul = ops.MatMul()
        self.rsqrt = ops.Rsqrt()

    def construct(self, x, weight, shift):
        x = x.astype(ms.float32)
        centred = x - self.matmul(x, self.mean_column)
        variance = self.matmul(centred * centred, self.mean_column)
        return centred * self.rsqrt(variance + self.eps) * weight + shift


class AddBiasDropoutNorm(nn.Cell):
    """The end of a sub-layer: bias, dropout, residual and normalisation.

    Construct: product [R, H], bias [H], residual [R, H], weight, shift [H] -> [R, H] float32.
    """

    def __init__(self, width, eps, dropout):
        super().__init__()
        self.bias_add = ops.BiasAdd()
        self.dropout = nn.Dropout(p=dropout)
        self.normalize = LayerNormOp(width, eps)

    def construct(self, product, bias, residual, weight, shift):
        biased = self.bias_add(product, bias.astype(product.dtype))
        # The residual first: in the other order MindSpore's GPU pass BiasDropoutAddFusion takes the
        # residual's own dropout for this one, and the graph gets a cycle.
        return self.normalize(residual + self.dropout(biased), weight, shift)


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis, computed in float32.

    `operator` computes it: a constructor (width, eps) of a cell as LayerNormOp.
    Construct: x [R, H] -> [R, H] in `config.dtype`.
    """

    def __init__(self, width, config, operator=LayerNormOp):
        super().__init__()
        self.weight = Parameter(initializer("ones", (width,)))
        self.bias = Parameter(initializer(Zero(), (width,)))
        self.normalize = operator(width, config.layer_norm_eps)
        self.dtype = DTYPES[config.dtype]

    def construct(self, x):
        return self.normalize(x, self.weight, self.bias).astype(self.dtype)


class ResidualNorm(nn.Cell):
    """LayerNorm(dropout(product + bias) + residual), the norm computed in float32.

    `operator` computes it: a constructor (width, eps, dropout) of a cell as AddBiasDropoutNorm.
    Construct: product [R, H], bias [H], residual [R, H] -> [R, H] in `config.dtype`.
    """

    def __init__(self, width, config, operator=AddBiasDropoutNorm):
        super().__init__()
        self.weight = Parameter(initializer("ones", (width,)))
        self.bias = Parameter(initializer(Zero(), (width,)))
        self.normalize = operator(width, config.layer_norm_eps, config.hidden_dropout_prob)
        self.dtype = DTYPES[config.dtype]

    def construct(self, product, bias, residual):
        return self.normalize(product, bias, residual, self.weight, self.bias).astype(self.dtype)


class Gelu(nn.Cell):
    """The exact GELU, x * Phi(x) (Hendrycks & Gimpel 2016). Construct: any shape -> the same shape."""

    def construct(self, x):
        half = x * 0.5
        return half + half * ops.erf(x * (1.0 / math.sqrt(2.0)))


class BiasActivation(nn.Cell):
    """A bias and the activation after it. Construct: product [R, H], bias [H] -> [R, H]."""

    def __init__(self, activation):
        super().__init__()
        self.bias_add = ops.BiasAdd()
        self.activation = activation()

    def construct(self, product, bias):
        return self.activation(self.bias_add(product, bias.astype(product.dtype)))


def plain_dropout(rate):
    """The framework's dropout."""
    return nn.Dropout(p=rate)


@dataclasses.dataclass(frozen=True)
class Layers:
    """Constructors that a BERT is built with; quantized or fused layers replace some of them.

    `classifier` is the head's dense layer; `activations` {name: constructor of a cell as BiasActivation};
    `attention` a constructor (config) of a cell that does all that lies between the dense layers of
    SelfAttention (see there), None: plain operators.
    """

    dense: Callable = Dense
    classifier: Callable = Dense
    embedding: Callable = Embedding
    dropout: Callable = plain_dropout
    norm: Callable = LayerNorm
    residual_norm: Callable = ResidualNorm
    activations: dict = dataclasses.field(
        default_factory=lambda: {
            "gelu": partial(BiasActivation, Gelu),
            "relu": partial(BiasActivation, nn.ReLU),
        }
    )
    attention: Callable | None = None


FLOAT_LAYERS = Layers()
