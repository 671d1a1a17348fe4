"""The one train-step cell: scaled loss, gradients, overflow check, clipping, optimizer, loss scale."""

import mindspore as ms
from mindspore import Parameter, nn, ops

from .optimizer import InPlaceAdamWeightDecay

# In float32 nothing overflows for a long time; growing without end would only lose a step at each ceiling.
MAX_SCALE = float(2**24)


class LossScale(nn.Cell):
    """Dynamic loss scale: divided by `factor` at an overflow, multiplied by it after `window` good steps.

    Construct: finite (bool scalar) -> the scale that was in force. Keeps a count of the skipped steps.
    """

    def __init__(self, value, factor, window):
        super().__init__()
        self.scale = Parameter(ms.Tensor(float(value), ms.float32), requires_grad=False, name="scale")
        self.good_steps = Parameter(ms.Tensor(0, ms.int32), requires_grad=False, name="good_steps")
        self.skipped = Parameter(ms.Tensor(0, ms.int32), requires_grad=False, name="skipped")
        self.factor = float(factor)
        self.window = int(window)

    def construct(self, finite):
        good = ops.select(finite, self.good_steps + 1, ops.zeros_like(self.good_steps))
        grow = good >= self.window
        lower = ops.maximum(self.scale / self.factor, ms.Tensor(1.0, ms.float32))
        kept = ops.select(grow, ops.minimum(self.scale * self.factor, MAX_SCALE), self.scale * 1.0)
        skipped = ops.assign_add(self.skipped, 1 - finite.astype(ms.int32))
        new_good = ops.assign(self.good_steps, ops.select(grow, ops.zeros_like(good), good))
        new_scale = ops.assign(self.scale, ops.select(finite, kept, lower))
        return ops.depend(new_scale, (skipped, new_good))


class SquaredNorm(nn.Cell):
    """The sum of the squares of all numbers. Construct: any number of tensors -> scalar."""

    def __init__(self):
        super().__init__()
        # A dot product reads a gradient once; square() and sum() were three times slower on a CPU.
        self.dot = ops.MatMul(transpose_b=True)

    def construct(self, *tensors):
        total = ms.Tensor(0.0, ms.float32)
        for tensor in tensors:
            flat = tensor.reshape(1, -1)
            total = total + self.dot(flat, flat).reshape(())
        return total


class TrainStep(nn.Cell):
    """One update of `optimizer.parameters` by a network whose construct(*batch) returns (loss, parts).

    The framework's TrainOneStepWithLossScaleCell asks for a device flag that a CPU does not have; here the
    global norm of the gradients, which clipping needs anyway, tells an overflow too: it is not finite then.
    `squared_norm` computes it, from any number of tensors a scalar or [1].
    Construct: *batch -> loss, parts, overflow (bool), scale. On overflow nothing is updated.
    """

    def __init__(
        self, network, optimizer, loss_scale, clip_norm=0.0, reduce_gradients=None, squared_norm=None
    ):
        super().__init__(auto_prefix=False)
        self.network = network
        self.network.set_grad()
        self.optimizer = optimizer
        self.loss_scale = loss_scale
        self.clip_norm = float(clip_norm)
        self.reduced = reduce_gradients is not None
        self.reduce_gradients = reduce_gradients if self.reduced else nn.Identity()
        self.value_and_grad = ms.value_and_grad(self._scaled_loss, None, optimizer.parameters, has_aux=True)
        self.squared_norm = squared_norm or SquaredNorm()
        self.in_place = isinstance(optimizer, InPlaceAdamWeightDecay)

    def construct(self, *batch):
        (_, loss, parts), gradients = self.value_and_grad(*batch)
        scale = self.loss_scale.scale * 1.0
        if self.reduced:
            gradients = self.reduce_gradients(gradients)
        total = self.squared_norm(*gradients).reshape(())
        finite = ops.isfinite(total)
        factor = 1.0 / scale
        if self.clip_norm > 0:
            factor = ops.minimum(factor, self.clip_norm / ops.maximum(ops.sqrt(total), 1e-12))
        updated = finite
        if finite:
            updated = self._update(gradients, factor, finite)
        loss = ops.depend(loss, updated)
        self.loss_scale(finite)
        return loss, parts, ops.logical_not(finite), scale

    def _update(self, gradients, factor, finite):
        if self.in_place:
            return ops.depend(finite, self.optimizer.update(gradients, factor))
        clipped = ()
        for gradient in gradients:
            clipped = clipped + (gradient * factor,)
        # Both branches of `if finite` have to return the same type: a bool, whatever the optimizer returns.
        return ops.depend(finite, self.optimizer(clipped))

    def _scaled_loss(self, *batch):
        loss, parts = self.network(*batch)
        return loss * self.loss_scale.scale, loss, parts
