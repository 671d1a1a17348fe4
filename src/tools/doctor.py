"""python -m src.tools.doctor: the machine, the versions and one tiny training step, for a bug report."""

from ..config.cli import parse
from ..config.doctor_config import DoctorConfig
from ..errors import run_main


def main(argv=None):
    """Report as the command line says."""
    config = parse(DoctorConfig, argv, prog="python -m src.tools.doctor").config
    from ..stages.diagnostics.doctor import doctor

    doctor(config)


if __name__ == "__main__":
    run_main(main)
