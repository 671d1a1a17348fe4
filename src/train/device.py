"""The device a run computes on, and the numeric types that follow from it."""

import dataclasses
import logging
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import mindspore as ms
from mindspore._c_expression import MSContext

from ..config.data_config import DeviceConfig
from ..config.train_config import LoopConfig
from ..errors import UserError

LOG = logging.getLogger(__name__)
TARGETS = ("Ascend", "GPU", "CPU")  # the order in which `auto` looks for them
# Files of the drivers; WSL2 has /dev/dxg in place of /dev/nvidia0.
DEVICE_FILES = {"Ascend": ("davinci[0-9]*",), "GPU": ("nvidia[0-9]*", "dxg")}
NVCC_RELEASE = re.compile(r"release (\d+)[.\d]*")
CUDA_MAJOR = "11"  # of the plugins in MindSpore's wheel


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
    target = config.device_target
    if target == "auto":
        target = next(target for target in TARGETS if not unavailable_reason(target))
    elif reason := unavailable_reason(target):
        raise UserError(f"--device_target {target}: MindSpore finds no such device here: {reason}")
    # MindSpore 2.10 documents no other way to run every cell as a graph; ms.jit takes cell by cell.
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device(target, config.device_id if target != "CPU" else 0)
    compute = config.compute_type
    if compute == "auto":
        compute = "float32" if target == "CPU" else "float16"
    return Device(target, "float32" if config.dtype == "auto" else config.dtype, compute)


def unavailable_reason(target: str) -> str:
    """Why MindSpore cannot use a device target on this machine, in one sentence; empty where it can."""
    if target == "CPU":
        return ""
    # Without the driver's device file MindSpore would print loader errors.
    if not any(any(Path("/dev").glob(pattern)) for pattern in DEVICE_FILES[target]):
        files = " or ".join(f"/dev/{pattern.replace('[0-9]*', '0')}" for pattern in DEVICE_FILES[target])
        return f"there is no {files}, so no driver is installed, or this container is not given the device"
    backend = ms.device_context.gpu if target == "GPU" else ms.device_context.ascend
    try:
        if backend.is_available():
            return ""
    except (ValueError, RuntimeError) as error:
        return f"MindSpore says: {str(error).splitlines()[0]}"
    return (_cuda_problem() if target == "GPU" else "") or _plugin_error(target)


def _cuda_problem() -> str:
    """What of CUDA_HOME makes MindSpore skip its GPU plugin without a word; empty where nothing does."""
    home = os.environ.get("CUDA_HOME")
    needs = f"MindSpore's GPU plugin needs CUDA {CUDA_MAJOR} with CUDA_HOME/bin/nvcc"
    if not home:
        return f"{needs}, and CUDA_HOME is not set"
    command = [f"{home}/bin/nvcc", "--version"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"{needs}, and {command[0]} does not run ({error})"
    release = NVCC_RELEASE.search(output)
    if not release or release[1] != CUDA_MAJOR:
        return f"{needs}, and {command[0]} prints {release[0] if release else 'no release'}"
    return ""


def _plugin_error(target: str) -> str:
    """The framework's own words about the libraries of a device target that it failed to load."""
    lines = MSContext.get_instance().load_plugin_error().splitlines()
    own = [line.strip() for line in lines if f"mindspore_{target.lower()}" in line]
    return f"MindSpore says: {own[0]}" if own else "MindSpore did not load its plugin, and gives no reason"


def sink_steps(
    config: LoopConfig, device: Device, lengths: Sequence[int], epoch_steps: int, cached_teacher: bool
) -> int:
    """Steps of one stretch of dataset sink mode; 0 feeds the data step by step.

    `lengths` are the static lengths of the batches: a device queue holds one shape. `epoch_steps` are those
    of an epoch, which -1 stands for. The outputs of a `cached_teacher` come from the host with each step.
    Raises UserError for enable_data_sink true with several lengths.
    """
    requested = config.enable_data_sink == "true"
    if device.target == "CPU" or config.enable_data_sink == "false":
        if requested:
            LOG.warning("enable_data_sink true has no effect on a CPU: it has no device queue")
        return 0
    if cached_teacher:
        if requested:
            LOG.warning(
                "enable_data_sink true has no effect in this phase: the outputs of the teacher cache come "
                "from the host with each step; --teacher_cache off feeds the phase through the device queue"
            )
        return 0
    if len(lengths) > 1:
        if requested:
            raise UserError("enable_data_sink true needs batches of one length: add --length_buckets off")
        return 0
    return config.data_sink_steps if config.data_sink_steps > 0 else epoch_steps
