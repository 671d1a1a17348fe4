"""AdamWeightDecay and its learning rate, a number for each step."""

import math

import numpy as np
from mindspore import Tensor, nn

BETA1, BETA2 = 0.9, 0.999
NO_DECAY = ("bias", "norm.weight", "norm.bias")


def polynomial_schedule(total_steps, peak, end, power, warmup_ratio):
    """Learning rate of each step: a linear rise over the warm-up, then a polynomial decay (as BERT's own).

    Returns float32 [total_steps]; step t of W warm-up steps gets peak * t / W counted from 1 so that no step
    is lost.
    """
    warmup = math.ceil(total_steps * warmup_ratio) if warmup_ratio > 0 else 0
    steps = np.arange(total_steps, dtype=np.float64)
    rise = peak * (steps + 1) / max(warmup, 1)
    progress = np.clip((steps - warmup) / max(total_steps - warmup, 1), 0.0, 1.0)
    fall = (peak - end) * (1.0 - progress) ** power + end
    return np.where(steps < warmup, rise, fall).astype(np.float32)


def bias_corrected(schedule):
    """The schedule with which Adam without bias correction steps as Adam does (Kingma & Ba 2015, section 2).

    nn.AdamWeightDecay, like BERT's own optimizer, leaves the correction out: its first hundreds of steps are
    up to three times too long, and short fine-tuning can fail by it (Mosbach et al. 2021; Zhang et al. 2021).
    Step t is multiplied by sqrt(1 - beta2^t) / (1 - beta1^t).
    """
    step = np.arange(1, len(schedule) + 1, dtype=np.float64)
    return (schedule * np.sqrt(1.0 - BETA2**step) / (1.0 - BETA1**step)).astype(np.float32)


class InPlaceAdamWeightDecay(nn.AdamWeightDecay):
    """nn.AdamWeightDecay, its state under the same names, whose update is one operator over all parameters.

    `operator` takes parameters, first and second moments, gradients, then learning rate, factor of the
    gradients, (beta1, beta2, eps) and the weight decays, and writes the first three.
    """

    def __init__(self, groups, learning_rate, eps, operator):
        super().__init__(groups, learning_rate, BETA1, BETA2, eps)
        self.operator = operator
        self.constants = Tensor(np.array([BETA1, BETA2, eps], np.float32))
        self.decays = Tensor(np.array([float(decay) for decay in self.weight_decay], np.float32))

    def update(self, gradients, factor):
        """One step by `gradients` * `factor` (a scalar): what unscales and clips them costs nothing here."""
        rate = self.get_lr()
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        written = (*self._parameters, *self.moments1, *self.moments2)
        return self.operator(*written, *gradients, rate, factor, self.constants, self.decays)


def adam_weight_decay(parameters, schedule, config, operator=None):
    """AdamWeightDecay over `parameters`, without decay on LayerNorm and bias. `schedule` as above.

    `operator` is a constructor (number of parameters) of what InPlaceAdamWeightDecay computes with; without
    one it is the framework's optimizer.
    """
    plain = [p for p in parameters if p.name.endswith(NO_DECAY)]
    decayed = [p for p in parameters if not p.name.endswith(NO_DECAY)]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
        {"order_params": list(parameters)},
    ]
    rates = [float(rate) for rate in schedule]
    if operator:
        return InPlaceAdamWeightDecay(groups, rates, config.eps, operator(len(parameters)))
    return nn.AdamWeightDecay(groups, learning_rate=rates, beta1=BETA1, beta2=BETA2, eps=config.eps)
