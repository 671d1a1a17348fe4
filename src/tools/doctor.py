"""python -m src.tools.doctor: the machine, the versions and one tiny training step, for a bug report."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import DeviceConfig
from ..config.fields import flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class DoctorConfig(DeviceConfig):
    """What this machine offers, to paste into a bug report."""

    train_step: bool = flag(True, "also compile and time one tiny training step")


def main(argv=None):
    """Report as the command line says."""
    config = parse(DoctorConfig, argv, prog=command_line("doctor")).config
    from ..stages.diagnostics.doctor import doctor

    doctor(config)


if __name__ == "__main__":
    run_main(main)
