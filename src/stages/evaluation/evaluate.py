"""Evaluation alone: a model folder over a task's evaluation records."""

import json
import sys
from functools import partial
from pathlib import Path

from ...config.fields import to_dict
from ...config.task.from_records import task_for
from ...files import write_json
from ...infer.logits import collect_logits
from ...output_dir import check_folder
from ...train.throughput import ThroughputMeter
from ..model.inference import load_for_inference
from . import submission
from .evaluator import Evaluator


def evaluate(config, zoo_config=None, log=None):
    """Evaluate `config.model_dir`, print one JSON line, write eval_results.json and return the metrics.

    With `write_predictions` GLUE's submission files too; what was written is said on standard error.
    `zoo_config` describes a .ckpt; `log` is the log callback (default: none of them, the JSON line stands
    alone).
    """
    log = log or (lambda text: None)
    check_folder(config.output_dir)
    task = task_for(to_dict(config))
    tests = submission.read_tests(config, task) if config.write_predictions else ()
    note = partial(print, file=sys.stderr)
    meter = ThroughputMeter(note)
    model = load_for_inference(
        config.model_dir, config, log=log, task=task, zoo_config=zoo_config, meter=meter
    )
    logits = partial(meter.timed, partial(collect_logits, model.predict))
    metrics = Evaluator(logits, model.config, task, config, model.tokenizer_dir).metrics()
    print(json.dumps(metrics), flush=True)
    for line in meter.lines():
        note(line)
    write_json(Path(config.output_dir or model.source.parent) / "eval_results.json", metrics)
    if tests:
        submission.write_submission(config, task, model, tests, note)
    return metrics
