"""The device a run computes on, and the numeric types that follow from it."""

import dataclasses
import logging
from pathlib import Path

import mindspore as ms

from ..errors import UserError

LOG = logging.getLogger(__name__)
TARGETS = ("Ascend", "GPU", "CPU")  # in the order in which `auto` looks for them
DEVICE_FILES = {"Ascend": "davinci[0-9]*", "GPU": "nvidia[0-9]*"}


@dataclasses.dataclass(frozen=True)
class Device:
    """What `auto` came to: the target, the type of the weights and of the matrix products."""

    target: str
    dtype: str
    compute_type: str


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
    return Device(target, "float32" if config.dtype == "auto" else config.dtype, compute)


def _is_there(target):
    # The framework is asked only where the driver made a device file: else it prints loader errors.
    if target != "CPU" and not list(Path("/dev").glob(DEVICE_FILES[target])):
        return False
    try:
        return target == "CPU" or ms.hal.is_available(target)
    except (ValueError, RuntimeError):
        return False


def sink_steps(config, device, lengths):
    """Steps handed to the device at a time: data_sink_steps where data is sunk, 0 where it is fed by step.

    `lengths` are the static lengths of the batches; a device queue holds one shape. Raises UserError when
    enable_data_sink true asks for what cannot be.
    """
    if config.enable_data_sink == "true" and device.target == "CPU":
        LOG.warning("enable_data_sink true has no effect on a CPU: it has no device queue")
    if device.target == "CPU" or config.enable_data_sink == "false":
        return 0
    if len(lengths) > 1:
        if config.enable_data_sink == "true":
            raise UserError("enable_data_sink true needs batches of one length: add --length_buckets off")
        return 0
    return max(config.data_sink_steps, 1)
