"""The layers of BERT, and the table of constructors by which other rooms replace them.

The forms are chosen for speed on a CPU and are exact everywhere: two-dimensional hidden states, weights
(out, in), LayerNorm with row means by a matrix product, GELU composed from erf. Shape letters: R rows
(batch x length), H width, O output width.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import TruncatedNormal, Zero, initializer

from ..config.bert_config import BertConfig


def _truncated_normal(config: BertConfig) -> TruncatedNormal:
    # Truncated at two sigma as in BERT's code; MindSpore's default bounds of 2.0 truncate nothing.
    sigma = config.initializer_range
    return TruncatedNormal(sigma, a=-2 * sigma, b=2 * sigma)


DTYPES = {"float32": ms.float32, "float16": ms.float16}


class MatMul(nn.Cell):
    """x W^T, multiplied in `config.compute_type`.

    Construct: x [R, H], weight [O, H] -> [R, O] in `config.dtype`.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.matmul = ops.MatMul(transpose_b=True)
        self.dtype, self.compute_type = DTYPES[config.dtype], DTYPES[config.compute_type]

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        # The compiler removes casts to the same type.
        return self.matmul(x.astype(self.compute_type), weight.astype(self.compute_type)).astype(self.dtype)


class Dense(nn.Cell):
    """y = x W^T + b. Construct: x [R, H] -> [R, O] in `config.dtype`.

    The weights are float32, for their updates. `matmul` omits the bias, for fusion with the next operator.
    `operator` is a constructor (config) of a cell as MatMul.
    """

    def __init__(self, in_size: int, out_size: int, config: BertConfig, operator: Callable = MatMul) -> None:
        super().__init__()
        self.weight = Parameter(initializer(_truncated_normal(config), (out_size, in_size)))
        self.bias = Parameter(initializer(Zero(), (out_size,)))
        self.product = operator(config)
        self.bias_add = ops.BiasAdd()
        self.dtype = DTYPES[config.dtype]

    def construct(self, x: Tensor) -> Tensor:
        return self.bias_add(self.matmul(x), self.bias.astype(self.dtype))

    def matmul(self, x: Tensor) -> Tensor:
        """x W^T: [R, H] -> [R, O]."""
        return self.product(x, self.weight)


class EmbeddingLookup(nn.Cell):
    """Construct: table [V, H], ids [R] int32 -> its rows [R, H]."""

    def construct(self, table: Tensor, ids: Tensor) -> Tensor:
        return ops.gather(table, ids, 0)


class Embedding(nn.Cell):
    """An embedding table. Construct: ids [R] int32 -> [R, H] float32.

    `operator` is a constructor () of a cell as EmbeddingLookup.
    """

    def __init__(
        self, rows: int, width: int, config: BertConfig, operator: Callable = EmbeddingLookup
    ) -> None:
        super().__init__()
        self.weight = Parameter(initializer(_truncated_normal(config), (rows, width)))
        self.lookup = operator()

    def construct(self, ids: Tensor) -> Tensor:
        return self.lookup(self.weight, ids)


class LayerNormOp(nn.Cell):
    """Layer normalization (Ba et al. 2016) in float32. Construct: x [R, H], gamma, beta [H] -> [R, H]."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        # Row means by a product with a column of 1/H are two to three times as fast as a reduction on a CPU.
        self.mean_column = Tensor(np.full((width, 1), 1.0 / width, np.float32))
        self.eps = eps
        self.matmul = ops.MatMul()
        self.rsqrt = ops.Rsqrt()

    def construct(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        x = x.astype(ms.float32)
        centered = x - self.matmul(x, self.mean_column)
        variance = self.matmul(centered * centered, self.mean_column)
        return centered * self.rsqrt(variance + self.eps) * gamma + beta


class AddBiasDropoutNorm(nn.Cell):
    """Bias, dropout, residual and layer normalization.

    Construct: product [R, H], bias [H], residual [R, H], gamma, beta [H] -> [R, H] float32.
    """

    def __init__(self, width: int, eps: float, dropout: float) -> None:
        super().__init__()
        self.bias_add = ops.BiasAdd()
        self.dropout = nn.Dropout(p=dropout)
        self.normalize = LayerNormOp(width, eps)

    def construct(
        self, product: Tensor, bias: Tensor, residual: Tensor, gamma: Tensor, beta: Tensor
    ) -> Tensor:
        biased = self.bias_add(product, bias.astype(product.dtype))
        # The residual comes first: otherwise MindSpore's GPU pass BiasDropoutAddFusion confuses this dropout
        # with the residual's and creates a cycle in the graph.
        return self.normalize(residual + self.dropout(biased), gamma, beta)


class LayerNorm(nn.Cell):
    """Layer normalization over the last axis, in float32.

    `operator` is a constructor (width, eps) of a cell as LayerNormOp.
    Construct: x [R, H] -> [R, H] in `config.dtype`.
    """

    def __init__(self, width: int, config: BertConfig, operator: Callable = LayerNormOp) -> None:
        super().__init__()
        self.weight = Parameter(initializer("ones", (width,)))
        self.bias = Parameter(initializer(Zero(), (width,)))
        self.normalize = operator(width, config.layer_norm_eps)
        self.dtype = DTYPES[config.dtype]

    def construct(self, x: Tensor) -> Tensor:
        return self.normalize(x, self.weight, self.bias).astype(self.dtype)


class ResidualNorm(nn.Cell):
    """LayerNorm(dropout(product + bias) + residual), normalized in float32.

    `operator` is a constructor (width, eps, dropout) of a cell as AddBiasDropoutNorm.
    Construct: product [R, H], bias [H], residual [R, H] -> [R, H] in `config.dtype`.
    """

    def __init__(self, width: int, config: BertConfig, operator: Callable = AddBiasDropoutNorm) -> None:
        super().__init__()
        self.weight = Parameter(initializer("ones", (width,)))
        self.bias = Parameter(initializer(Zero(), (width,)))
        self.normalize = operator(width, config.layer_norm_eps, config.hidden_dropout_prob)
        self.dtype = DTYPES[config.dtype]

    def construct(self, product: Tensor, bias: Tensor, residual: Tensor) -> Tensor:
        return self.normalize(product, bias, residual, self.weight, self.bias).astype(self.dtype)


class Gelu(nn.Cell):
    """The exact GELU, x * Phi(x) (Hendrycks & Gimpel 2016). Construct: any shape -> the same shape."""

    def construct(self, x: Tensor) -> Tensor:
        half = x * 0.5
        return half + half * ops.erf(x * (1.0 / math.sqrt(2.0)))


class GeluTanh(nn.Cell):
    """GELU by tanh, x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).

    Google's BERT and the model zoo's compute it so. Construct: any shape -> the same shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gelu = ops.GeLU()

    def construct(self, x: Tensor) -> Tensor:
        return self.gelu(x)


class BiasActivation(nn.Cell):
    """activation(product + bias). Construct: product [R, H], bias [H] -> [R, H]."""

    def __init__(self, activation: Callable) -> None:
        super().__init__()
        self.bias_add = ops.BiasAdd()
        self.activation = activation()

    def construct(self, product: Tensor, bias: Tensor) -> Tensor:
        return self.activation(self.bias_add(product, bias.astype(product.dtype)))


def plain_dropout(rate: float) -> nn.Cell:
    """MindSpore's dropout."""
    return nn.Dropout(p=rate)


@dataclasses.dataclass(frozen=True)
class Layers:
    """Layer constructors of a BERT; quantized or fused layers replace some of them.

    `matmul` constructs from a config the product of the dense layers, as MatMul; `classifier` is the head's
    dense layer; `activations` maps names to constructors as BiasActivation;
    `attention` constructs from a config the fused cell of SelfAttention (see there), None: plain operators.
    """

    matmul: Callable = MatMul
    dense: Callable = Dense
    classifier: Callable = Dense
    embedding: Callable = Embedding
    dropout: Callable = plain_dropout
    norm: Callable = LayerNorm
    residual_norm: Callable = ResidualNorm
    activations: dict[str, Callable] = dataclasses.field(
        default_factory=lambda: {
            "gelu": partial(BiasActivation, Gelu),
            "gelu_new": partial(BiasActivation, GeluTanh),
            "relu": partial(BiasActivation, nn.ReLU),
        }
    )
    attention: Callable | None = None


FLOAT_LAYERS = Layers()
