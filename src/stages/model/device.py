"""What a run computes with: the C++ kernels where they can act, plain operators elsewhere."""

import dataclasses
import os
from collections.abc import Callable
from functools import partial

from ...kernels import layers as kernels
from ...kernels import operators
from ...kernels.build import KernelsUnavailable, check_loads, library
from ...model.layers import FLOAT_LAYERS, LayerNorm, Layers, ResidualNorm
from ...quant.quantizers import PLAIN, Operators
from ...train.device import Device, select_device
from ...train.matmul_precision import set_matmul_precision


@dataclasses.dataclass(frozen=True)
class DeviceSetup(Device):
    """A device and the layers, losses and operators of the train step that serve it best.

    What is empty or None means the plain operators of the room that takes it: `losses` by the names of
    intermediate_terms, `optimizer` as in adam_weight_decay, `squared_norm` as in TrainStep. `quantizers` are
    what quantized layers compute with.
    """

    layers: Layers = FLOAT_LAYERS
    losses: dict = dataclasses.field(default_factory=dict)
    optimizer: Callable | None = None
    squared_norm: Callable | None = None
    quantizers: Operators = PLAIN


def setup_device(config, log):
    """Set up the device of a DeviceConfig and choose what it computes with.

    Why there are no kernels, where they were asked for, is said aloud.
    """
    device = select_device(config)
    set_matmul_precision(config, device.target)
    built = choose_library(config, device, log)
    return DeviceSetup(**vars(device), **(kernel_parts(built) if built else {}))


def choose_library(config, device, log, folder=None):
    """Path of the compiled kernels if `config.kernels` is auto and they can act on the device, else None."""
    if config.kernels == "off" or device.target != "CPU":
        return None
    if (device.dtype, device.compute_type) != ("float32", "float32"):
        log("kernels: plain operators (the C++ kernels compute in float32)")
        return None
    try:
        built = library(folder)
        check_loads(built)
    except KernelsUnavailable as reason:
        log(f"kernels: plain operators ({reason})")
        return None
    if "OMP_WAIT_POLICY" not in os.environ:
        log("kernels: set OMP_WAIT_POLICY=passive before Python starts, or they are slowed down")
    return built


def kernel_parts(built):
    """The fields of DeviceSetup that compute with the library `built`."""
    layers = dataclasses.replace(
        FLOAT_LAYERS,
        dropout=partial(kernels.Dropout, built),
        norm=partial(LayerNorm, operator=partial(kernels.LayerNormOp, built)),
        residual_norm=partial(ResidualNorm, operator=partial(kernels.AddBiasDropoutNorm, built)),
        activations={**FLOAT_LAYERS.activations, "gelu": partial(kernels.BiasGelu, built)},
        attention=partial(kernels.Attention, built),
    )
    return {
        "layers": layers,
        "losses": {
            "hidden_loss": operators.hidden_mse(built),
            "attention_loss": operators.attention_mse(built),
        },
        "optimizer": partial(operators.adam_weight_decay, built),
        "squared_norm": operators.squared_norm(built),
        "quantizers": Operators(
            largest=partial(operators.largest_magnitude, built),
            fake_quantize=partial(kernels.FakeQuantize, built),
        ),
    }
