"""python -m src.tools.evaluate: evaluate a model folder on a task's records; write eval_results.json."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import sys
from collections.abc import Sequence
from functools import partial

from ..commands import command_line
from ..config.cli import parse
from ..config.evaluate_config import EvaluateConfig
from ..config.migration.zoo_recipe import with_networks
from ..config.q8bert_config import STUDENT_NET
from ..errors import run_main


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate the model."""
    resolved = parse(EvaluateConfig, argv, prog=command_line("evaluate"))
    resolved = with_networks(resolved, student=STUDENT_NET)
    from ..stages.evaluation.evaluate import evaluate

    # stdout is for the JSON line; remarks, such as the label assigned to an unnamed output, go to stderr.
    evaluate(resolved.config, resolved.networks["student"], log=partial(print, file=sys.stderr))


if __name__ == "__main__":
    run_main(main)
