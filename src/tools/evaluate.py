"""python -m src.tools.evaluate: a model folder and a task's records -> a JSON line and eval_results.json."""

from src.config.cli import parse
from src.config.evaluate_config import EvaluateConfig
from src.errors import run_main


def main(argv=None):
    """Parse the command line and evaluate."""
    config = parse(EvaluateConfig, argv, prog="python -m src.tools.evaluate").config
    from src.stages.evaluate import evaluate

    evaluate(config)


if __name__ == "__main__":
    run_main(main)
