"""The device a run computes on, and the numeric types that follow from it."""

import dataclasses
from pathlib import Path

import mindspore as ms

from src.errors import UserError

TARGETS = ("Ascend", "GPU", "CPU")  # in the order in which `auto` looks for them
DEVICE_FILES = {"Ascend": "davinci[0-9]*", "GPU": "nvidia[0-9]*"}


@dataclasses.dataclass(frozen=True)
class Device:
    """What `auto` came to: the target, the type of weights, of matrix products, and whether data is sunk."""

    target: str
    dtype: str
    compute_type: str
    data_sink: bool


def set_up_device(config):
    """Choose and set the device, graph mode and types that a DeviceConfig asks for.

    Raises UserError when the device asked for is not there.
    """
    found = [target for target in TARGETS if _is_there(target)]
    target = found[0] if config.device_target == "auto" else config.device_target
    if target not in found:
        raise UserError(
            f"--device_target {target}: this MindSpore finds no such device here (it finds "
            f"{', '.join(found)})"
        )
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device(target, config.device_id if target != "CPU" else 0)
    compute = config.compute_type
    if compute == "auto":
        compute = "float32" if target == "CPU" else "float16"
    dtype = "float32" if config.dtype == "auto" else config.dtype
    return Device(target, dtype, compute, _data_sink(getattr(config, "enable_data_sink", "false"), target))


def _is_there(target):
    # The framework is asked only where the driver made a device file: else it prints loader errors.
    if target != "CPU" and not list(Path("/dev").glob(DEVICE_FILES[target])):
        return False
    try:
        return target == "CPU" or ms.hal.is_available(target)
    except (ValueError, RuntimeError):
        return False


def _data_sink(asked, target):
    if asked == "true" and target == "CPU":
        print(
            "note: enable_data_sink true has no effect on a CPU: it has no device queue; data is fed by step"
        )
    return asked != "false" and target != "CPU"
