"""Flags of python -m src.tools.doctor."""
import dataclasses

from src.config.options import option


@dataclasses.dataclass(frozen=True)
class DoctorConfig:
    """What this machine offers, to paste into a bug report."""

    device_target: str = option("auto", "device of the training step; auto takes the best that is there",
                                ("auto", "CPU", "GPU", "Ascend"))
    device_id: int = option(0, "which of the machine's devices")
    train_step: bool = option(True, "also compile and time one tiny training step")
