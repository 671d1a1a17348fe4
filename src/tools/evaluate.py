"""python -m src.tools.evaluate: a model folder and a task's records -> a JSON line and eval_results.json."""

import sys
from functools import partial

from ..commands import command_line
from ..config.cli import parse
from ..config.evaluate_config import EvaluateConfig
from ..errors import run_main


def main(argv=None):
    """Parse the command line and evaluate."""
    config = parse(EvaluateConfig, argv, prog=command_line("evaluate")).config
    from ..stages.evaluation.evaluate import evaluate

    # Remarks, such as which label an unnamed output was taken for, leave the JSON line alone.
    evaluate(config, log=partial(print, file=sys.stderr))


if __name__ == "__main__":
    run_main(main)
