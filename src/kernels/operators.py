"""The kernels as MindSpore operators, each with its gradient. They take float32 and static shapes.

Shape letters: B batch, S length, H hidden, N heads, R rows (B * S).
"""

import mindspore as ms
from mindspore import ops


def custom(library, name, shapes, outputs=1, bprop=None):
    """The operator of the kernel `name`.

    `shapes` gives the outputs' shapes from those of the inputs; `bprop` the gradients of the inputs.
    """
    types = (ms.float32,) * outputs if outputs > 1 else ms.float32
    return ops.Custom(f"{library}:{name}", shapes, lambda *_: types, "aot", bprop=bprop)


def bias_gelu(library):
    """product [R, H], bias [H] -> gelu(product + bias) [R, H]."""
    gradient = custom(library, "bias_gelu_gradient", lambda x, bias, up: (x, bias), 2)

    def bprop(product, bias, out, upstream):
        return gradient(product, bias, upstream)

    return custom(library, "bias_gelu", lambda x, bias: x, bprop=bprop)


def layer_norm(library):
    """x [R, H], weight, shift [H], eps [1] -> x normalised over its last axis [R, H]."""
    gradient = custom(library, "layer_norm_gradient", lambda x, weight, eps, up: (x, weight, weight), 3)

    def bprop(x, weight, shift, eps, out, upstream):
        of_x, of_weight, of_shift = gradient(x, weight, eps, upstream)
        return of_x, of_weight, of_shift, ops.zeros_like(eps)

    return custom(library, "layer_norm", lambda x, weight, shift, eps: x, bprop=bprop)


def residual_norm(library):
    """product [R, H], bias [H], residual [R, H], weight, shift [H], eps [1] -> the sum, normalised [R, H]."""

    def gradient_shapes(product, bias, *_):
        return product, bias, bias, bias

    gradient = custom(library, "residual_norm_gradient", gradient_shapes, 4)

    def bprop(product, bias, residual, weight, shift, eps, out, upstream):
        of_sum, of_bias, of_weight, of_shift = gradient(product, bias, residual, weight, eps, upstream)
        return of_sum, of_bias, of_sum, of_weight, of_shift, ops.zeros_like(eps)

    return custom(library, "residual_norm", lambda product, *_: product, bprop=bprop)


def attention(library, heads):
    """query, bias, key, bias, value, bias ([R, H] and [H]), mask [B, 1, 1, S], scale [1]
    -> context [R, H], scores [B, N, S, S] scaled, before mask and softmax."""

    def shapes(query, *rest):
        mask = rest[5]
        return query, (mask[0], heads, mask[3], mask[3])

    def gradient_shapes(query, bias, *_):
        return query, query, query, bias, bias, bias

    gradient = custom(library, "attention_gradient", gradient_shapes, 6)

    def bprop(query, query_bias, key, key_bias, value, value_bias, mask, scale, out, upstream):
        of_query, of_key, of_value, of_query_bias, of_key_bias, of_value_bias = gradient(
            query, query_bias, key, key_bias, value, value_bias, mask, scale, out[1], upstream[0], upstream[1]
        )
        of_rest = (ops.zeros_like(mask), ops.zeros_like(scale))
        return (of_query, of_query_bias, of_key, of_key_bias, of_value, of_value_bias) + of_rest

    return custom(library, "attention", shapes, 2, bprop)
