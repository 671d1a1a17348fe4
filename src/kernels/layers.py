"""The kernels as cells without parameters: the operators of a BERT's layers.

Shape letters: B batch, S length, Q queries of a sequence, H hidden, N heads, R rows (B * S).
"""

import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..config.bert_config import BertConfig
from . import operators


def _scalar(value: float) -> Tensor:
    # Kernels take their constants as tensors: attributes would have to be compiled into the C++ call.
    return Tensor(np.array([value], np.float32))


class Bf16MatMul(nn.Cell):
    """x W^T of factors rounded to bfloat16. Construct: x [R, H], weight [O, H] -> [R, O]."""

    def __init__(self, library: str, config: BertConfig) -> None:
        super().__init__()  # `config` is that of model.layers.MatMul; its types are float32 where kernels run
        self.operator = operators.bf16_matmul(library)

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.operator(x, weight)


class BiasGelu(nn.Cell):
    """gelu(product + bias). Construct: product [R, H], bias [H] -> [R, H]."""

    def __init__(self, library: str) -> None:
        super().__init__()
        self.operator = operators.bias_gelu(library)

    def construct(self, product: Tensor, bias: Tensor) -> Tensor:
        return self.operator(product, bias)


class LayerNormOp(nn.Cell):
    """Layer normalization. Construct: x [R, H], gamma, beta [H] -> [R, H]."""

    def __init__(self, library: str, width: int, eps: float) -> None:
        super().__init__()
        self.eps = _scalar(eps)
        self.operator = operators.layer_norm(library)

    def construct(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return self.operator(x, gamma, beta, self.eps)


class FakeQuantize(nn.Cell):
    """x rounded to the integers -qmax - 1 to qmax times the scale.

    Construct: x [R, H], clip_value [1] or [R, 1] -> [R, H].
    """

    def __init__(self, library: str, qmax: int) -> None:
        super().__init__()
        self.qmax = _scalar(qmax)
        self.operator = operators.fake_quantize(library)

    def construct(self, x: Tensor, clip_value: Tensor) -> Tensor:
        return self.operator(x, clip_value, self.qmax)


class DropoutCell(nn.Cell):
    """A cell with dropout whose masks are a function of the run's seed, the cell's number and the step.

    The step is the optimizer's counter, a Parameter; bind_dropout sets it before training.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.has_dropout = rate > 0
        self.rate = _scalar(rate)
        self.bound = False

    def bind(self, step: Parameter, seed: int, number: int) -> None:
        """Derive the masks from `step`, `seed` and `number`."""
        # Bypasses nn.Cell's registration: the Parameter belongs to the optimizer, not to the model.
        object.__setattr__(self, "step", step)
        self.key = Tensor(np.array([seed, number], np.uint32).view(np.int32))
        self.bound = True

    def check(self) -> None:
        """Raise ValueError, when a graph is compiled, if bind was not called."""
        if not self.bound:
            raise ValueError(
                "dropout has no step to derive its masks from: call bind_dropout before training"
            )


def bind_dropout(network: nn.Cell, step: Parameter, seed: int) -> None:
    """Number the dropout cells of a network and derive their masks from `step` [1] int32 and `seed`.

    The order of the cells, and so each mask, depends on the network alone.
    """
    cells = (cell for _, cell in network.cells_and_names() if isinstance(cell, DropoutCell))
    for number, cell in enumerate(cells):
        cell.bind(step, seed % 2**32, number)


class Dropout(DropoutCell):
    """Construct: x of any shape -> x, with elements dropped in training."""

    def __init__(self, library: str, rate: float) -> None:
        super().__init__(rate)
        self.operator = operators.dropout(library)

    def construct(self, x: Tensor) -> Tensor:
        if self.training and self.has_dropout:
            self.check()
            x = self.operator(x, self.step, self.key, self.rate)
        return x


class AddBiasDropoutNorm(DropoutCell):
    """Bias, dropout, residual and layer normalization.

    Construct: product [R, H], bias [H], residual [R, H], gamma, beta [H] -> [R, H].
    """

    def __init__(self, library: str, width: int, eps: float, dropout: float) -> None:
        super().__init__(dropout)
        self.eps = _scalar(eps)
        self.operator = operators.residual_norm(library)
        self.dropout_operator = operators.dropout_norm(library)

    def construct(
        self, product: Tensor, bias: Tensor, residual: Tensor, gamma: Tensor, beta: Tensor
    ) -> Tensor:
        if self.training and self.has_dropout:
            self.check()
            mask = (self.step, self.key, self.rate)
            return self.dropout_operator(product, bias, residual, gamma, beta, self.eps, *mask)
        return self.operator(product, bias, residual, gamma, beta, self.eps)


class Attention(DropoutCell):
    """Self-attention without its dense layers.

    Construct: query [B*Q, H], key, value [R, H], their biases (three of [H]), mask_bias [B, 1, 1, S]
    -> context [B*Q, H], attention_scores [B, N, Q, S] (scaled, before mask and softmax).
    """

    def __init__(self, library: str, config: BertConfig) -> None:
        super().__init__(config.attention_probs_dropout_prob)
        self.scale = _scalar(1.0 / math.sqrt(config.head_size))
        self.operator = operators.attention(library, config.num_attention_heads)
        self.dropout_operator = operators.dropout_attention(library, config.num_attention_heads)
        self.packed_operator = operators.packed_attention(library, config.num_attention_heads)
        self.packed_heads_operator = operators.packed_attention(library, 1)
        self.no_bias = Tensor(np.zeros(config.hidden_size, np.float32))

    def construct(
        self, query: Tensor, key: Tensor, value: Tensor, biases: tuple[Tensor, ...], mask_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        inputs = (query, biases[0], key, biases[1], value, biases[2], mask_bias, self.scale)
        if self.training and self.has_dropout:
            self.check()
            context, scores = self.dropout_operator(*inputs, self.step, self.key, self.rate)
        else:
            context, scores = self.operator(*inputs)
        return context, scores

    def packed(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        biases: tuple[Tensor, ...],
        sequences: Tensor,
        rows: Tensor,
    ) -> Tensor:
        """query [P, H], key, value [R, H], biases (three of [H]), sequences [R], rows [P] -> context [P, H].

        For inference. The R tokens are several sequences in a row: `sequences` int32 is equal for the tokens
        of one, 0 for padding; `rows` int32 are the queries' tokens.
        """
        inputs = (query, biases[0], key, biases[1], value, biases[2], sequences, rows, self.scale)
        return self.packed_operator(*inputs).reshape(query.shape)

    def packed_heads(self, query: Tensor, hidden: Tensor, sequences: Tensor, rows: Tensor) -> Tensor:
        """As `packed`, for query [P, N, H]; hidden [R, H] are the keys and values of every head."""
        count, heads, width = query.shape
        tokens = (hidden, self.no_bias, hidden, self.no_bias)
        rows = ops.broadcast_to(rows.reshape(count, 1), (count, heads)).reshape(-1)
        queries = query.reshape(count * heads, width)
        means = self.packed_heads_operator(queries, self.no_bias, *tokens, sequences, rows, self.scale)
        return means.reshape(query.shape)
