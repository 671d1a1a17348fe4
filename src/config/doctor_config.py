"""Flags of python -m src.tools.doctor."""

import dataclasses

from .fields import flag
from .train_config import DeviceConfig


@dataclasses.dataclass(frozen=True)
class DoctorConfig(DeviceConfig):
    """What this machine offers, to paste into a bug report."""

    train_step: bool = flag(True, "also compile and time one tiny training step")
