"""Device, layers and operators of a run: the C++ kernels where they can run, plain operators elsewhere."""

import dataclasses
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ...config.data_config import DeviceConfig
from ...kernels import layers as kernels
from ...kernels import operators
from ...kernels.build import KernelsUnavailable, check_loads, library_path
from ...model.layers import FLOAT_LAYERS, Dense, LayerNorm, Layers, ResidualNorm
from ...quant.quantizers import PLAIN, Operators
from ...train.device import Device, select_device
from ...train.matmul_precision import RATE_SIZE, matmul_rate, set_matmul_precision


@dataclasses.dataclass(frozen=True)
class DeviceSetup(Device):
    """A device with the layers, losses and train-step operators that run fastest on it.

    Empty or None means plain operators: `losses` has the names of intermediate_terms, `optimizer` is the
    `fused` of adam_weight_decay, `squared_norm` that of TrainStep, `quantizers` the operators of quantized
    layers. `product` is that of the dense layers where it is not MindSpore's; `precision` is theirs, fp32 or
    bf16; `bf16_library` has kernels for those in bf16, if there are any.
    """

    layers: Layers = FLOAT_LAYERS
    losses: dict[str, Callable] = dataclasses.field(default_factory=dict)
    optimizer: Callable | None = None
    squared_norm: Callable | None = None
    quantizers: Operators = PLAIN
    product: Callable | None = None
    precision: str = "fp32"
    bf16_library: str = ""

    def matmul_rate(self, width: int = RATE_SIZE) -> float:
        """Floating-point operations per second of the products of dense layers from `width` to `width`."""
        return matmul_rate(self.compute_type, self.product, width)


def setup_device(config: DeviceConfig, log: Callable[[str], object]) -> DeviceSetup:
    """Set up the device of a DeviceConfig; logs why requested kernels are unavailable."""
    device = select_device(config)
    library = choose_library(config, device, log)
    parts = kernel_parts(library) if library else {}
    has_kernel = bool(library) and operators.has_bf16_products(str(library))
    by_kernel = set_matmul_precision(config, device.target, has_kernel)
    if config.matmul_precision == "bf16":
        parts["precision"] = "bf16"
    if has_kernel:
        parts["bf16_library"] = str(library)
    setup = DeviceSetup(**vars(device), **parts)
    return with_bf16_products(setup) if by_kernel else setup


def with_bf16_products(setup: DeviceSetup) -> DeviceSetup:
    """`setup` with the products of dense layers in bfloat16, by the kernels of its bf16_library."""
    matmul = partial(kernels.Bf16MatMul, setup.bf16_library)
    layers = dataclasses.replace(setup.layers, matmul=matmul, dense=partial(Dense, operator=matmul))
    product = operators.bf16_matmul(setup.bf16_library)
    return dataclasses.replace(setup, layers=layers, product=product, precision="bf16")


def choose_library(
    config: DeviceConfig, device: Device, log: Callable[[str], object], folder: Path | None = None
) -> Path | None:
    """Path of the compiled kernels; None with `config.kernels` off or where they cannot run."""
    if config.kernels == "off" or device.target != "CPU":
        return None
    if (device.dtype, device.compute_type) != ("float32", "float32"):
        log("kernels: plain operators (the C++ kernels compute in float32)")
        return None
    try:
        library = library_path(folder)
        check_loads(library)
    except KernelsUnavailable as reason:
        log(f"kernels: plain operators ({reason})")
        return None
    if "OMP_WAIT_POLICY" not in os.environ:
        log("kernels: set OMP_WAIT_POLICY=passive before Python starts, or they run slower")
    return library


def kernel_parts(library: Path | str) -> dict[str, Any]:
    """The fields of DeviceSetup that run the kernels of `library`."""
    path = str(library)
    layers = dataclasses.replace(
        FLOAT_LAYERS,
        dropout=partial(kernels.Dropout, path),
        norm=partial(LayerNorm, operator=partial(kernels.LayerNormOp, path)),
        residual_norm=partial(ResidualNorm, operator=partial(kernels.AddBiasDropoutNorm, path)),
        activations={**FLOAT_LAYERS.activations, "gelu": partial(kernels.BiasGelu, path)},
        attention=partial(kernels.Attention, path),
    )
    return {
        "layers": layers,
        "losses": {
            "hidden_loss": operators.hidden_mse(path),
            "attention_loss": operators.attention_mse(path),
        },
        "optimizer": partial(operators.adam_weight_decay, path),
        "squared_norm": operators.squared_norm(path),
        "quantizers": Operators(
            abs_max=partial(operators.abs_max, path),
            fake_quantize=partial(kernels.FakeQuantize, path),
        ),
    }
