"""AdamWeightDecay and its learning rate schedule."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..config.train_config import LoopConfig

BETA1, BETA2 = 0.9, 0.999
NO_DECAY = ("bias", "norm.weight", "norm.bias")


def polynomial_schedule(
    total_steps: int,
    peak: float,
    end: float,
    power: float,
    warmup_ratio: float,
    decay_from: str = "warmup",
) -> np.ndarray:
    """Learning rate of each step: linear warm-up, then polynomial decay, as in BERT.

    Returns float32 [total_steps]. Warm-up step t of W has the rate peak * t / W, counted from 1, so that no
    step has a rate of zero. With `decay_from` "start" it is counted from 0, and the decay from step 0, as in
    Google's code (Devlin et al. 2019) and the model zoo's.
    """
    steps = np.arange(total_steps, dtype=np.float64)
    if decay_from == "start":
        warmup = math.floor(total_steps * warmup_ratio + 1e-6)
        decay = (peak - end) * (1.0 - steps / max(total_steps, 1)) ** power + end
        return np.where(steps < warmup, peak * steps / max(warmup, 1), decay).astype(np.float32)
    warmup = math.ceil(total_steps * warmup_ratio) if warmup_ratio > 0 else 0
    rise = peak * (steps + 1) / max(warmup, 1)
    progress = np.clip((steps - warmup) / max(total_steps - warmup, 1), 0.0, 1.0)
    decay = (peak - end) * (1.0 - progress) ** power + end
    return np.where(steps < warmup, rise, decay).astype(np.float32)


def bias_corrections(total_steps: int) -> np.ndarray:
    """Factors of learning rate, epsilon and weight decay by which step t of AdamWeightDecay is one of Adam.

    With c1 = 1 - beta1^t and c2 = 1 - beta2^t (Kingma & Ba 2015, algorithm 1; Loshchilov & Hutter 2019)

        rate ((m / c1) / (sqrt(v / c2) + eps) + decay w)
            = rate sqrt(c2) / c1 (m / (sqrt(v) + eps sqrt(c2)) + decay c1 / sqrt(c2) w)

    Returns float64 [total_steps, 3].
    """
    step = np.arange(1, total_steps + 1, dtype=np.float64)
    c1, root = 1.0 - BETA1**step, np.sqrt(1.0 - BETA2**step)
    return np.stack([root / c1, root, c1 / root], axis=1)


class AdamWeightDecay(nn.Optimizer):
    """Adam with decoupled weight decay: torch.optim.AdamW's steps with `bias_correction`, BERT's without.

    BERT's own optimizer (Devlin et al. 2019) omits the correction of the moments: its first few hundred steps
    are up to three times too long, which can make short fine-tuning fail (Mosbach et al. 2021; Zhang et al.
    2021). Without it the numbers are those of nn.AdamWeightDecay, which is deprecated; the state (moments1,
    moments2, global_step) always is. `fused` updates all parameters with one in-place operator, called with
    the parameters, first and second moments, gradients, learning rate, gradient factor, (beta1, beta2, eps),
    the weight decays and the factors of epsilon and decay. None: MindSpore's operator, one call for each
    parameter.

    Construct: gradients (a tuple), factor (scalar multiplied into the gradients) -> tuple to depend on.
    """

    def __init__(
        self,
        groups: list[dict],
        learning_rate: np.ndarray,
        eps: float,
        bias_correction: bool,
        fused: Callable | None = None,
    ) -> None:
        corrections = bias_corrections(len(learning_rate))
        if not bias_correction:
            corrections[:] = 1.0
        super().__init__(
            [float(rate) for rate in (learning_rate * corrections[:, 0]).astype(np.float32)], groups
        )
        self.corrections = Tensor(corrections[:, 1:].astype(np.float32))
        self.moments1 = self._parameters.clone(prefix="adam_m", init="zeros")
        self.moments2 = self._parameters.clone(prefix="adam_v", init="zeros")
        self.is_fused = fused is not None
        self.operator = fused or ops.AdamWeightDecay()
        constants = [np.array([value], np.float32) for value in (BETA1, BETA2, eps)]
        self.beta1, self.beta2, self.eps = map(Tensor, constants)
        self.constants = Tensor(np.concatenate(constants))
        self.decays = Tensor(np.array([float(decay) for decay in self.weight_decay], np.float32))

    def construct(self, gradients: tuple[Tensor, ...], factor: Tensor) -> tuple[Tensor, ...]:
        rate = self.get_lr()
        correction = ops.gather(self.corrections, self.global_step[0], 0)
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        if self.is_fused:
            state = (*self._parameters, *self.moments1, *self.moments2)
            return (self.operator(*state, *gradients, rate, factor, self.constants, self.decays, correction),)
        updated: tuple[Tensor, ...] = ()
        for i in range(self.param_length):
            weight, m, v = self._parameters[i], self.moments1[i], self.moments2[i]
            slope = (gradients[i] * factor).astype(weight.dtype)
            eps, decay = self.eps * correction[0], self.weight_decay[i] * correction[1]
            hyper = (rate, self.beta1, self.beta2, eps, decay)
            updated = updated + (self.operator(weight, m, v, *hyper, slope)[0],)
        return updated


def adam_weight_decay(
    parameters: Sequence[Parameter],
    schedule: Sequence[float] | np.ndarray,
    config: LoopConfig,
    fused: Callable[[int], Callable] | None = None,
) -> AdamWeightDecay:
    """AdamWeightDecay over `parameters`, without decay of LayerNorm and bias, at the rates of `schedule`.

    `fused` constructs the operator of the fused update from the number of parameters.
    """
    plain = [p for p in parameters if p.name.endswith(NO_DECAY)]
    decayed = [p for p in parameters if not p.name.endswith(NO_DECAY)]
    groups: list[dict] = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
        {"order_params": list(parameters)},
    ]
    rates = np.asarray(schedule, np.float64)
    operator = fused(len(parameters)) if fused else None
    return AdamWeightDecay(groups, rates, config.eps, config.bias_correction, operator)
