"""python -m src.tools.convert: weights of any known kind -> a model folder."""

from ..config.cli import parse
from ..config.convert_config import ConvertConfig
from ..errors import run_main
from ..stages.serving.convert import convert


def main(argv=None):
    """Convert as the command line says."""
    convert(parse(ConvertConfig, argv, prog="python -m src.tools.convert").config)


if __name__ == "__main__":
    run_main(main)
