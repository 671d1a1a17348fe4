"""python -m src.tools.predict: texts -> labels and probabilities, by a model folder or an exported file."""

from src.config.cli import parse
from src.config.predict_config import PredictConfig
from src.errors import run_main


def main(argv=None):
    """Answer the texts that the command line names."""
    config = parse(PredictConfig, argv, prog="python -m src.tools.predict").config
    from src.stages.predict import predict

    predict(config)


if __name__ == "__main__":
    run_main(main)
