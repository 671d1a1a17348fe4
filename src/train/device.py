"""The device a run computes on, and the numeric types that follow from it."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import mindspore as ms

from ..config.data_config import DeviceConfig
from ..config.train_config import LoopConfig
from ..errors import UserError

LOG = logging.getLogger(__name__)
TARGETS = ("Ascend", "GPU", "CPU")  # the order in which `auto` looks for them
DEVICE_FILES = {"Ascend": "davinci[0-9]*", "GPU": "nvidia[0-9]*"}


@dataclasses.dataclass(frozen=True)
class Device:
    """Device target, type of the hidden states (dtype) and of the matrix products (compute_type)."""

    target: str
    dtype: str
    compute_type: str


def select_device(config: DeviceConfig) -> Device:
    """Set MindSpore's device and graph mode and resolve the types of a DeviceConfig.

    Raises UserError if the requested device is not available.
    """
    found = [target for target in TARGETS if _is_available(target)]
    target = found[0] if config.device_target == "auto" else config.device_target
    if target not in found:
        raise UserError(
            f"--device_target {target}: MindSpore finds no such device here (it finds {', '.join(found)})"
        )
    # MindSpore 2.10 documents no other way to run every cell as a graph; ms.jit takes cell by cell.
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device(target, config.device_id if target != "CPU" else 0)
    compute = config.compute_type
    if compute == "auto":
        compute = "float32" if target == "CPU" else "float16"
    return Device(target, "float32" if config.dtype == "auto" else config.dtype, compute)


def _is_available(target: str) -> bool:
    # Without the driver's device file MindSpore would print loader errors.
    if target == "CPU":
        return True
    if not list(Path("/dev").glob(DEVICE_FILES[target])):
        return False
    backend = ms.device_context.gpu if target == "GPU" else ms.device_context.ascend
    try:
        return backend.is_available()
    except (ValueError, RuntimeError):
        return False


def sink_steps(config: LoopConfig, device: Device, lengths: Sequence[int], epoch_steps: int) -> int:
    """Steps of one stretch of dataset sink mode; 0 feeds the data step by step.

    `lengths` are the static lengths of the batches; a device queue holds one shape. `epoch_steps` are those
    of an epoch, which -1 stands for. Raises UserError for enable_data_sink true with several lengths.
    """
    if config.enable_data_sink == "true" and device.target == "CPU":
        LOG.warning("enable_data_sink true has no effect on a CPU: it has no device queue")
    if device.target == "CPU" or config.enable_data_sink == "false":
        return 0
    if len(lengths) > 1:
        if config.enable_data_sink == "true":
            raise UserError("enable_data_sink true needs batches of one length: add --length_buckets off")
        return 0
    return config.data_sink_steps if config.data_sink_steps > 0 else epoch_steps
