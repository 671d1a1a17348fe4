"""python -m src.tools.export: a model folder -> model.onnx (fp32, int8) or model.mindir, checked first."""

from ..config.cli import parse
from ..config.export_config import ExportConfig
from ..errors import run_main


def main(argv=None):
    """Export as the command line says."""
    config = parse(ExportConfig, argv, prog="python -m src.tools.export").config
    from ..stages.serving.export import export

    export(config)


if __name__ == "__main__":
    run_main(main)
