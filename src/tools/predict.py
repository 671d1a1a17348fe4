"""python -m src.tools.predict: texts -> labels and probabilities, by a model folder or an exported file."""

from ..config.cli import parse
from ..config.predict_config import PredictConfig
from ..errors import run_main


def main(argv=None):
    """Answer the texts that the command line names."""
    config = parse(PredictConfig, argv, prog="python -m src.tools.predict").config
    from ..stages.serving.predict import predict

    predict(config)


if __name__ == "__main__":
    run_main(main)
