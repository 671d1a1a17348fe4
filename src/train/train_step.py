"""The train step: scaled loss, gradients, overflow check, clipping, optimizer, loss scale."""

from collections.abc import Callable

import mindspore as ms
from mindspore import Parameter, Tensor, amp, nn, ops

# In float32 nothing overflows for a long time; unlimited growth would only lose a step at each overflow.
MAX_SCALE = float(2**24)


class LossScale(nn.Cell):
    """Dynamic loss scale: divided by `factor` on overflow, multiplied by it after `window` good steps.

    amp.DynamicLossScaler with a ceiling and a count of the skipped steps; its floor is 1.
    Construct: finite (bool scalar) -> the new scale.
    """

    def __init__(self, value: float, factor: float, window: int) -> None:
        super().__init__()
        self.scaler = amp.DynamicLossScaler(float(value), 2, int(window))
        self.scaler.scale_factor = float(factor)  # the constructor refuses fractions, the arithmetic does not
        self.scale, self.good_steps = self.scaler.scale_value, self.scaler.counter
        self.skipped = Parameter(Tensor(0, ms.int32), requires_grad=False, name="skipped")

    def construct(self, finite: Tensor) -> Tensor:
        self.scaler.adjust(finite)
        ops.assign_add(self.skipped, 1 - finite.astype(ms.int32))
        return ops.assign(self.scale, ops.minimum(self.scale, MAX_SCALE))


class SquaredNorm(nn.Cell):
    """The sum of the squares of all elements. Construct: any number of tensors -> scalar."""

    def __init__(self) -> None:
        super().__init__()
        # A dot product reads a gradient once; square() and sum() took three times as long on a CPU.
        self.dot = ops.MatMul(transpose_b=True)

    def construct(self, *tensors: Tensor) -> Tensor:
        total = Tensor(0.0, ms.float32)
        for tensor in tensors:
            flat = tensor.reshape(1, -1)
            total = total + self.dot(flat, flat).reshape(())
        return total


class ClipEach(nn.Cell):
    """Each gradient g scaled by max_norm / max(|g|, max_norm), |g| its own L2 norm.

    Construct: gradients (a tuple) of a loss multiplied by `scale`, scale -> a tuple, still so multiplied.
    """

    def __init__(self, max_norm: float) -> None:
        super().__init__()
        self.max_norm = float(max_norm)
        self.squared_norm = SquaredNorm()

    def construct(self, gradients: tuple[Tensor, ...], scale: Tensor) -> tuple[Tensor, ...]:
        limit = self.max_norm * scale
        clipped: tuple[Tensor, ...] = ()
        for gradient in gradients:
            norm = ops.sqrt(self.squared_norm(gradient))
            clipped = clipped + (gradient * (limit / ops.maximum(norm, limit)),)
        return clipped


class AllFinite(nn.Cell):
    """amp.all_finite, true only if it is on every rank. Construct: gradients (a tuple) -> bool scalar.

    An Ascend device saturates instead of overflowing: its status registers show what the numbers do not, each
    rank's its own.
    """

    def __init__(self, all_ranks: nn.Cell | None = None) -> None:
        super().__init__()
        self.all_ranks = all_ranks or nn.Identity()

    def construct(self, gradients: tuple[Tensor, ...]) -> Tensor:
        return self.all_ranks(amp.all_finite(gradients))


class TrainStep(nn.Cell):
    """One update of `optimizer.parameters` by a network whose construct(*batch) returns (loss, parts).

    Gradients overflow where their global norm, which clipping needs anyway, is not finite: `squared_norm`
    computes it, from any number of tensors to a scalar or [1]. `all_finite` is a second check, see AllFinite;
    on a CPU, where the norm detects every overflow, it would cost another pass over the gradients. A
    ClipEach for `clip_norm` clips the gradient of each parameter by its own norm instead of the global one.
    Construct: *batch -> loss, parts, overflow (bool), scale. On overflow nothing is updated.
    """

    def __init__(
        self,
        network: nn.Cell,
        optimizer: nn.Optimizer,
        loss_scale: LossScale,
        clip_norm: "float | ClipEach" = 0.0,
        reduce_gradients: nn.Cell | None = None,
        squared_norm: Callable | None = None,
        all_finite: nn.Cell | None = None,
    ) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.network.set_grad()
        self.optimizer = optimizer
        self.loss_scale = loss_scale
        self.clip_each = clip_norm if isinstance(clip_norm, ClipEach) else None
        self.clip_norm = 0.0 if isinstance(clip_norm, ClipEach) else float(clip_norm)
        self.reduce_gradients = reduce_gradients or nn.Identity()
        self.value_and_grad = ms.value_and_grad(self._scaled_loss, None, optimizer.parameters, has_aux=True)
        self.squared_norm = squared_norm or SquaredNorm()
        self.has_check = all_finite is not None
        self.all_finite = all_finite or nn.Identity()

    def construct(self, *batch: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (_, loss, parts), gradients = self.value_and_grad(*batch)
        scale = self.loss_scale.scale * 1.0
        gradients = self.reduce_gradients(gradients)
        total = self.squared_norm(*gradients).reshape(())
        finite = ops.isfinite(total)
        if self.has_check:
            finite = ops.logical_and(finite, self.all_finite(gradients))
        factor = 1.0 / scale
        if self.clip_each is not None:
            gradients = self.clip_each(gradients, scale)
        elif self.clip_norm > 0:
            factor = ops.minimum(factor, self.clip_norm / ops.maximum(ops.sqrt(total), 1e-12))
        updated = finite
        if finite:
            updated = ops.depend(finite, self.optimizer(gradients, factor))
        loss = ops.depend(loss, updated)
        self.loss_scale(finite)
        return loss, parts, ops.logical_not(finite), scale

    def _scaled_loss(self, *batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        loss, parts = self.network(*batch)
        return loss * self.loss_scale.scale, loss, parts
