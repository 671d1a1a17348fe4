"""python -m src.tools.doctor: report hardware, versions and one small training step, for bug reports."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import DeviceConfig
from ..config.fields import flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class DoctorConfig(DeviceConfig):
    """Report hardware, versions and one small training step, to paste into a bug report."""

    train_step: bool = flag(True, "also compile and time a small training step")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the report."""
    config = parse(DoctorConfig, argv, prog=command_line("doctor")).config
    from ..stages.diagnostics.doctor import doctor

    doctor(config)


if __name__ == "__main__":
    run_main(main)
