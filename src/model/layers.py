"""The building blocks a BERT is made of, and the table through which other rooms replace them.

The forms are chosen for speed on a CPU and are exact elsewhere: hidden states stay two-dimensional, weights
are (out, in), LayerNorm takes its row means from a matrix product, GELU is composed from erf. Shape letters:
R rows (batch x length), H width, O output width.
"""

import dataclasses
import math
from collections.abc import Callable

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import TruncatedNormal, Zero, initializer


def _fresh(config):
    # Cut at two sigma as in BERT's own code; the framework's default bounds are at 2.0, which cuts nothing.
    sigma = config.initializer_range
    return TruncatedNormal(sigma, a=-2 * sigma, b=2 * sigma)


NUMBERS = {"float32": ms.float32, "float16": ms.float16}


class Dense(nn.Cell):
    """y = x W^T + b. Construct: x [R, H] -> [R, O] in `config.dtype`, multiplied in `config.compute_type`.

    The weights themselves are float32, as their updates need.
    """

    def __init__(self, in_size, out_size, config):
        super().__init__()
        self.weight = Parameter(initializer(_fresh(config), (out_size, in_size)))
        self.bias = Parameter(initializer(Zero(), (out_size,)))
        self.matmul = ops.MatMul(transpose_b=True)
        self.bias_add = ops.BiasAdd()
        self.dtype, self.compute_type = NUMBERS[config.dtype], NUMBERS[config.compute_type]

    def construct(self, x):
        # [R, H] -> [R, O]; a cast to the type that is there already vanishes from the graph
        product = self.matmul(x.astype(self.compute_type), self.weight.astype(self.compute_type))
        return self.bias_add(product.astype(self.dtype), self.bias.astype(self.dtype))


class Embedding(nn.Cell):
    """Rows of a table. Construct: ids [R] int32 -> [R, H] float32."""

    def __init__(self, rows, width, config):
        super().__init__()
        self.weight = Parameter(initializer(_fresh(config), (rows, width)))

    def construct(self, ids):
        return ops.gather(self.weight, ids, 0)


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis (Ba et al. 2016), computed in float32.

    Construct: x [R, H] -> [R, H] in `config.dtype`.
    """

    def __init__(self, width, config):
        super().__init__()
        self.weight = Parameter(initializer("ones", (width,)))
        self.bias = Parameter(initializer(Zero(), (width,)))
        # A product with a column of 1/H gives row means two to three times faster than a reduction on a CPU.
        self.mean_column = Tensor(np.full((width, 1), 1.0 / width, np.float32))
        self.eps = config.layer_norm_eps
        self.dtype = NUMBERS[config.dtype]
        self.matmul = ops.MatMul()
        self.rsqrt = ops.Rsqrt()

    def construct(self, x):
        x = x.astype(ms.float32)
        centred = x - self.matmul(x, self.mean_column)
        variance = self.matmul(centred * centred, self.mean_column)
        return (centred * self.rsqrt(variance + self.eps) * self.weight + self.bias).astype(self.dtype)


class Gelu(nn.Cell):
    """The exact GELU, x * Phi(x) (Hendrycks & Gimpel 2016). Construct: any shape -> the same shape."""

    def construct(self, x):
        half = x * 0.5
        return half + half * ops.erf(x * (1.0 / math.sqrt(2.0)))


class Relu(nn.Cell):
    """max(x, 0). Construct: any shape -> the same shape."""

    def construct(self, x):
        return ops.relu(x)


@dataclasses.dataclass(frozen=True)
class Layers:
    """Constructors that a BERT is built with; quantized or fused layers replace some of them."""

    dense: Callable = Dense
    embedding: Callable = Embedding
    norm: Callable = LayerNorm
    activations: dict = dataclasses.field(default_factory=lambda: {"gelu": Gelu, "relu": Relu})


FLOAT_LAYERS = Layers()
