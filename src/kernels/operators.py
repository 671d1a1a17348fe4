"""The kernels as MindSpore operators with their gradients, for float32 and static shapes.

Shape letters: B batch, S length, Q queries of a sequence, H hidden, N heads, R rows (B * S).
"""

import ctypes
from collections.abc import Callable

import mindspore as ms
from mindspore import Tensor, ops
from mindspore.ops import signature

Shape = tuple[int, ...] | list[int]


def custom(
    library: str, name: str, shapes: Callable, outputs: int = 1, bprop: Callable | None = None
) -> ops.Custom:
    """The operator of the kernel `name`.

    `shapes` maps the inputs' shapes to the outputs'; `bprop` computes the gradients of the inputs.
    """
    types = (ms.float32,) * outputs if outputs > 1 else ms.float32
    return ops.Custom(f"{library}:{name}", shapes, lambda *_: types, "aot", bprop=bprop)


def has_bf16_products(library: str) -> bool:
    """Whether bf16_matmul runs here: MindSpore's oneDNN has the product, the processor the instructions."""
    return bool(ctypes.CDLL(library).has_bf16_products())


def bf16_matmul(library: str) -> ops.Custom:
    """x [R, H], weight [O, H] -> x weight^T [R, O]; here and in the gradient of factors in bfloat16."""
    of_x = custom(library, "bf16_matmul_gradient_x", lambda dout, weight: (dout[0], weight[1]))
    of_weight = custom(library, "bf16_matmul_gradient_weight", lambda dout, x: (dout[1], x[1]))

    def bprop(x: Tensor, weight: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
        return of_x(dout, weight), of_weight(dout, x)

    return custom(library, "bf16_matmul", lambda x, weight: (x[0], weight[0]), bprop=bprop)


def bias_gelu(library: str) -> ops.Custom:
    """product [R, H], bias [H] -> gelu(product + bias) [R, H]."""
    gradient = custom(library, "bias_gelu_gradient", lambda x, bias, dout: (x, bias), 2)

    def bprop(product: Tensor, bias: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
        return gradient(product, bias, dout)

    return custom(library, "bias_gelu", lambda x, bias: x, bprop=bprop)


def layer_norm(library: str) -> ops.Custom:
    """x [R, H], gamma, beta [H], eps [1] -> x normalized over its last axis [R, H]."""
    gradient = custom(library, "layer_norm_gradient", lambda x, gamma, eps, dout: (x, gamma, gamma), 3)

    def bprop(
        x: Tensor, gamma: Tensor, beta: Tensor, eps: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, ...]:
        return (*gradient(x, gamma, eps, dout), *_zeros(eps))

    return custom(library, "layer_norm", lambda x, gamma, beta, eps: x, bprop=bprop)


def residual_norm(library: str) -> ops.Custom:
    """product [R, H], bias [H], residual [R, H], gamma, beta [H], eps [1] -> normalized sum [R, H]."""

    def gradient_shapes(product: Shape, bias: Shape, *_: Shape) -> tuple[Shape, ...]:
        return product, bias, bias, bias

    gradient = custom(library, "residual_norm_gradient", gradient_shapes, 4)

    def bprop(
        product: Tensor,
        bias: Tensor,
        residual: Tensor,
        gamma: Tensor,
        beta: Tensor,
        eps: Tensor,
        out: Tensor,
        dout: Tensor,
    ) -> tuple[Tensor, ...]:
        d_sum, d_bias, d_gamma, d_beta = gradient(product, bias, residual, gamma, eps, dout)
        return (d_sum, d_bias, d_sum, d_gamma, d_beta, *_zeros(eps))

    return custom(library, "residual_norm", lambda product, *_: product, bprop=bprop)


def dropout(library: str) -> ops.Custom:
    """x, step [1], key [2] int32, rate [1] -> x with dropout; step, key and rate determine the mask."""

    def bprop(
        x: Tensor, step: Tensor, key: Tensor, rate: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, ...]:
        return (forward(dout, step, key, rate), *_zeros(step, key, rate))

    forward = custom(library, "dropout", lambda x, *_: x)
    return custom(library, "dropout", lambda x, *_: x, bprop=bprop)


def dropout_norm(library: str) -> ops.Custom:
    """As residual_norm, then step, key, rate of the dropout of product + bias."""

    def gradient_shapes(product: Shape, bias: Shape, *_: Shape) -> tuple[Shape, ...]:
        return product, bias, product, bias, bias

    gradient = custom(library, "dropout_norm_gradient", gradient_shapes, 5)

    def bprop(
        product: Tensor,
        bias: Tensor,
        residual: Tensor,
        gamma: Tensor,
        beta: Tensor,
        eps: Tensor,
        step: Tensor,
        key: Tensor,
        rate: Tensor,
        out: Tensor,
        dout: Tensor,
    ) -> tuple[Tensor, ...]:
        gradients = gradient(product, bias, residual, gamma, eps, step, key, rate, dout)
        return (*gradients, *_zeros(eps, step, key, rate))

    return custom(library, "dropout_norm", lambda product, *_: product, bprop=bprop)


def attention(library: str, heads: int) -> ops.Custom:
    """query [B*Q, H], bias [H], key [R, H], bias, value [R, H], bias, mask [B, 1, 1, S], scale [1]
    -> context [B*Q, H], scores [B, N, Q, S] scaled, before mask and softmax."""
    gradient = custom(library, "attention_gradient", _attention_gradient_shapes, 6)

    def bprop(
        query: Tensor,
        query_bias: Tensor,
        key: Tensor,
        key_bias: Tensor,
        value: Tensor,
        value_bias: Tensor,
        mask: Tensor,
        scale: Tensor,
        out: Tensor,
        dout: Tensor,
    ) -> tuple[Tensor, ...]:
        inputs = (query, query_bias, key, key_bias, value, value_bias, mask, scale)
        gradients = gradient(*inputs, out[1], dout[0], dout[1])
        return (*_interleave(gradients), *_zeros(mask, scale))

    return custom(library, "attention", _attention_shapes(heads), 2, bprop)


def dropout_attention(library: str, heads: int) -> ops.Custom:
    """As attention, then step [1], key [2], rate [1] of the dropout of the probabilities."""
    gradient = custom(library, "dropout_attention_gradient", _attention_gradient_shapes, 6)

    def bprop(
        query: Tensor,
        query_bias: Tensor,
        key: Tensor,
        key_bias: Tensor,
        value: Tensor,
        value_bias: Tensor,
        mask: Tensor,
        scale: Tensor,
        step: Tensor,
        mask_key: Tensor,
        rate: Tensor,
        out: Tensor,
        dout: Tensor,
    ) -> tuple[Tensor, ...]:
        inputs = (query, query_bias, key, key_bias, value, value_bias, mask, scale, step, mask_key, rate)
        gradients = gradient(*inputs, out[1], dout[0], dout[1])
        return (*_interleave(gradients), *_zeros(mask, scale, step, mask_key, rate))

    return custom(library, "dropout_attention", _attention_shapes(heads), 2, bprop)


def packed_attention(library: str, heads: int) -> ops.Custom:
    """query [P, H], bias, key [R, H], bias, value [R, H], bias, sequences [R], rows [P] int32, scale [1]
    -> context [P, heads, H / heads]; no gradient.

    P of the R tokens of several sequences are queries; see the kernel.
    """

    def shapes(*inputs: Shape) -> Shape:
        rows, width = inputs[0]
        return rows, heads, width // heads

    return custom(library, "packed_attention", shapes)


def _attention_shapes(heads: int) -> Callable:
    def shapes(*inputs: Shape) -> tuple[Shape, ...]:
        query, mask = inputs[0], inputs[6]
        return query, (mask[0], heads, query[0] // mask[0], mask[3])

    return shapes


def _attention_gradient_shapes(query: Shape, bias: Shape, key: Shape, *_: Shape) -> tuple[Shape, ...]:
    return query, key, key, bias, bias, bias


def _interleave(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # Of query, key, value, then of their biases -> each with its bias, the order of the inputs.
    return gradients[0], gradients[3], gradients[1], gradients[4], gradients[2], gradients[5]


def _zeros(*inputs: Tensor) -> tuple[Tensor, ...]:
    # Gradients of inputs that are not trained; the compiler drops them.
    zeros: tuple[Tensor, ...] = ()
    for value in inputs:
        zeros = zeros + (ops.zeros_like(value),)
    return zeros


def hidden_mse(library: str) -> ops.Custom:
    """student, teacher [R, H] (float32 or float16), mask [B, S] -> [B], the mean over real tokens and H of
    (student - teacher)^2."""
    return _loss(library, "hidden_mse")


def attention_mse(library: str) -> ops.Custom:
    """student, teacher [B, N, S, S] (float32 or float16), mask [B, S] -> [B], the mean over heads, real
    queries and real keys of the squared difference."""
    return _loss(library, "attention_mse")


def _loss(library: str, name: str) -> ops.Custom:
    gradient = custom(library, f"{name}_gradient", lambda student, teacher, mask, dout: student)

    def bprop(
        student: Tensor, teacher: Tensor, mask: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, ...]:
        return (gradient(student, teacher, mask, dout), *_zeros(teacher, mask))

    return custom(library, name, lambda student, teacher, mask: (mask[0],), bprop=bprop)


def abs_max(library: str, per_row: bool = False) -> ops.Custom:
    """x [R, H] -> max|x| [1], or with `per_row` that of each row [R, 1]; its gradient is zero."""

    def bprop(x: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
        return (ops.zeros_like(x),)

    if per_row:
        return custom(library, "abs_max_per_row", lambda x: (x[0], 1), bprop=bprop)
    return custom(library, "abs_max", lambda x: (1,), bprop=bprop)


def fake_quantize(library: str) -> ops.Custom:
    """x [R, H], clip_value [1] or [R, 1], qmax [1] -> x quantized; straight-through gradient."""

    def bprop(x: Tensor, clip_value: Tensor, qmax: Tensor, out: Tensor, dout: Tensor) -> tuple[Tensor, ...]:
        return (dout, *_zeros(clip_value, qmax))

    return custom(library, "fake_quantize", lambda x, *_: x, bprop=bprop)


def squared_norm(library: str) -> ops.Custom:
    """Any number of tensors -> [1], the sum of the squares of all elements."""
    return custom(library, "squared_norm", lambda *_: (1,))


def adam_weight_decay(library: str, tensors: int) -> ops.Custom:
    """One update of `tensors` parameters in place.

    Parameters, first moments, second moments (all Parameters), gradients, `tensors` of each; learning rate,
    gradient factor, constants [3] (beta1, beta2, eps), weight decays [tensors], factors [2] of eps and of the
    weight decays -> [1], to depend on.
    """
    written = [f"written{i}" for i in range(3 * tensors)]
    read = [f"read{i}" for i in range(tensors + 5)]
    # The signature declares the writes, so that the compiler keeps the order of reads and writes.
    return _InPlace(
        f"{library}:adam_weight_decay",
        tuple(
            [signature.make_sig(name, signature.sig_rw.RW_WRITE) for name in written]
            + [signature.make_sig(name) for name in read]
        ),
    )


class _InPlace(ops.Custom):
    """An operator that writes the Parameters which its signature marks as written."""

    def __init__(self, function: str, signatures: tuple) -> None:
        super().__init__(function, lambda *_: (1,), lambda *_: ms.float32, "aot")
        self.__mindspore_signature__ = signatures
        self.add_prim_attr("side_effect_mem", True)
