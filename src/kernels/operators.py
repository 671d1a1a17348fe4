"""The kernels as MindSpore operators, each with its gradient. They take float32 and static shapes.

Shape letters: B batch, S length, H hidden, N heads, R rows (B * S).
"""

import mindspore as ms
from mindspore import ops
from mindspore.ops import signature


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
        return (*gradient(x, weight, eps, upstream), *_none(eps))

    return custom(library, "layer_norm", lambda x, weight, shift, eps: x, bprop=bprop)


def residual_norm(library):
    """product [R, H], bias [H], residual [R, H], weight, shift [H], eps [1] -> the sum, normalised [R, H]."""

    def gradient_shapes(product, bias, *_):
        return product, bias, bias, bias

    gradient = custom(library, "residual_norm_gradient", gradient_shapes, 4)

    def bprop(product, bias, residual, weight, shift, eps, out, upstream):
        of_sum, of_bias, of_weight, of_shift = gradient(product, bias, residual, weight, eps, upstream)
        return (of_sum, of_bias, of_sum, of_weight, of_shift, *_none(eps))

    return custom(library, "residual_norm", lambda product, *_: product, bprop=bprop)


def dropout(library):
    """x, step [1], key [2] int32, rate [1] -> x, dropped; the mask is a function of the other three."""

    def bprop(x, step, key, rate, out, upstream):
        return (forward(upstream, step, key, rate), *_none(step, key, rate))

    forward = custom(library, "dropout", lambda x, *_: x)
    return custom(library, "dropout", lambda x, *_: x, bprop=bprop)


def dropout_norm(library):
    """As residual_norm, then step, key, rate of the dropout of product + bias."""

    def gradient_shapes(product, bias, *_):
        return product, bias, product, bias, bias

    gradient = custom(library, "dropout_norm_gradient", gradient_shapes, 5)

    def bprop(product, bias, residual, weight, shift, eps, step, key, rate, out, upstream):
        gradients = gradient(product, bias, residual, weight, eps, step, key, rate, upstream)
        return (*gradients, *_none(eps, step, key, rate))

    return custom(library, "dropout_norm", lambda product, *_: product, bprop=bprop)


def attention(library, heads):
    """query, bias, key, bias, value, bias ([R, H] and [H]), mask [B, 1, 1, S], scale [1]
    -> context [R, H], scores [B, N, S, S] scaled, before mask and softmax."""
    gradient = custom(library, "attention_gradient", _attention_gradient_shapes, 6)

    def bprop(query, query_bias, key, key_bias, value, value_bias, mask, scale, out, upstream):
        inputs = (query, query_bias, key, key_bias, value, value_bias, mask, scale)
        gradients = gradient(*inputs, out[1], upstream[0], upstream[1])
        return (*_by_layer(gradients), *_none(mask, scale))

    return custom(library, "attention", _attention_shapes(heads), 2, bprop)


def dropout_attention(library, heads):
    """As attention, then step [1], key [2], rate [1] of the dropout of the probabilities."""
    gradient = custom(library, "dropout_attention_gradient", _attention_gradient_shapes, 6)

    def bprop(query, query_bias, key, key_bias, value, value_bias, mask, scale, step, place, rate, out, up):
        inputs = (query, query_bias, key, key_bias, value, value_bias, mask, scale, step, place, rate)
        gradients = gradient(*inputs, out[1], up[0], up[1])
        return (*_by_layer(gradients), *_none(mask, scale, step, place, rate))

    return custom(library, "dropout_attention", _attention_shapes(heads), 2, bprop)


def _attention_shapes(heads):
    def shapes(*inputs):
        query, mask = inputs[0], inputs[6]
        return query, (mask[0], heads, mask[3], mask[3])

    return shapes


def _attention_gradient_shapes(query, bias, *_):
    return query, query, query, bias, bias, bias


def _by_layer(gradients):
    # of the rows of query, key, value, then of their biases -> in the order of the inputs
    return gradients[0], gradients[3], gradients[1], gradients[4], gradients[2], gradients[5]


def _none(*inputs):
    # What is not trained; the compiler drops these zeros.
    zeros = ()
    for value in inputs:
        zeros = zeros + (ops.zeros_like(value),)
    return zeros


def hidden_mse(library):
    """student, teacher [R, H], mask [B, S] -> [B], mean over real tokens and H of (student - teacher)^2."""
    return _loss(library, "hidden_mse")


def attention_mse(library):
    """student, teacher [B, N, S, S], mask [B, S] -> [B], mean over heads, real queries and real keys."""
    return _loss(library, "attention_mse")


def _loss(library, name):
    gradient = custom(library, f"{name}_gradient", lambda student, teacher, mask, up: student)

    def bprop(student, teacher, mask, out, upstream):
        return (gradient(student, teacher, mask, upstream), *_none(teacher, mask))

    return custom(library, name, lambda student, teacher, mask: (mask[0],), bprop=bprop)


def largest_magnitude(library, by_row=False):
    """x [R, H] -> [1], or with `by_row` [R, 1], the largest magnitude; it has no gradient."""

    def bprop(x, out, upstream):
        return (ops.zeros_like(x),)

    if by_row:
        return custom(library, "largest_of_rows", lambda x: (x[0], 1), bprop=bprop)
    return custom(library, "largest_magnitude", lambda x: (1,), bprop=bprop)


def fake_quantize(library):
    """x [R, H], threshold [1] or [R, 1], levels [1] -> x on its grid; the gradient is passed straight on."""

    def bprop(x, threshold, levels, out, upstream):
        return (upstream, *_none(threshold, levels))

    return custom(library, "fake_quantize", lambda x, *_: x, bprop=bprop)


def squared_norm(library):
    """Any number of tensors -> [1], the sum of the squares of all their numbers."""
    return custom(library, "squared_norm", lambda *_: (1,))


def adam_weight_decay(library, tensors):
    """One update of `tensors` parameters in place.

    Parameters, first moments, second moments (all Parameters), gradients, `tensors` of each; learning rate,
    factor of the gradients, constants [3] (beta1, beta2, eps), weight decays [tensors] -> [1], to depend on.
    """
    written = [f"written{i}" for i in range(3 * tensors)]
    read = [f"read{i}" for i in range(tensors + 4)]
    # So the compiler knows of the writing: reads before and after it stay before and after it.
    return _InPlace(
        f"{library}:adam_weight_decay",
        tuple(
            [signature.make_sig(name, signature.sig_rw.RW_WRITE) for name in written]
            + [signature.make_sig(name) for name in read]
        ),
    )


class _InPlace(ops.Custom):
    """An operator that changes the Parameters which its signature marks as written."""

    def __init__(self, function, signatures):
        super().__init__(function, lambda *_: (1,), lambda *_: ms.float32, "aot")
        self.__mindspore_signature__ = signatures
        self.add_prim_attr("side_effect_mem", True)
