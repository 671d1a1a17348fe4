"""AdamWeightDecay and its learning rate, a number for each step."""

import math

import numpy as np
from mindspore import nn

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


def adam_weight_decay(parameters, schedule, config):
    """nn.AdamWeightDecay over `parameters`, without decay on LayerNorm and bias. `schedule` as above."""
    plain = [p for p in parameters if p.name.endswith(NO_DECAY)]
    decayed = [p for p in parameters if not p.name.endswith(NO_DECAY)]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
        {"order_params": list(parameters)},
    ]
    return nn.AdamWeightDecay(
        groups, learning_rate=[float(rate) for rate in schedule], beta1=BETA1, beta2=BETA2, eps=config.eps
    )
