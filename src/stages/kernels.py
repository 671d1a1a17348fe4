"""What a run computes with: the C++ kernels where they can act, plain operators elsewhere."""

import dataclasses
import os
from functools import partial

from src.kernels import layers as kernels
from src.kernels.build import NoKernels, library
from src.model.layers import FLOAT_LAYERS, LayerNorm, Layers, ResidualNorm
from src.train.device import Device, set_up_device


@dataclasses.dataclass(frozen=True)
class EquippedDevice(Device):
    """A device and the constructors of the layers that serve it best."""

    layers: Layers = FLOAT_LAYERS


def equip_device(config, say):
    """Set up the device of a DeviceConfig and choose its layers; why there are no kernels is said aloud."""
    device = set_up_device(config)
    return EquippedDevice(**vars(device), layers=choose_layers(config, device, say))


def choose_layers(config, device, say, folder=None):
    """Layers on the C++ kernels if `config.kernels` is auto and they can act, else plain ones."""
    if config.kernels == "off" or device.target != "CPU":
        return FLOAT_LAYERS
    if (device.dtype, device.compute_type) != ("float32", "float32"):
        say("kernels: plain operators (the C++ kernels compute in float32)")
        return FLOAT_LAYERS
    try:
        built = library(folder)
    except NoKernels as reason:
        say(f"kernels: plain operators ({reason})")
        return FLOAT_LAYERS
    if "OMP_WAIT_POLICY" not in os.environ:
        say("kernels: set OMP_WAIT_POLICY=passive before Python starts, or they are slowed down")
    return kernel_layers(built)


def kernel_layers(built):
    """Layers that compute with the library `built`."""
    return dataclasses.replace(
        FLOAT_LAYERS,
        norm=partial(LayerNorm, operator=partial(kernels.Normalise, built)),
        residual_norm=partial(ResidualNorm, operator=partial(kernels.NormaliseSum, built)),
        activations={**FLOAT_LAYERS.activations, "gelu": partial(kernels.BiasGelu, built)},
        attention=partial(kernels.Attention, built),
    )
