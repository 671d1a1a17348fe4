"""Standalone evaluation of a model folder on the evaluation records of a task."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.bert_config import BertConfig
from ...config.fields import to_dict
from ...config.task.from_records import task_for
from ...errors import UserError
from ...files import write_json
from ...infer.logits import collect_logits
from ...output_dir import check_folder
from ...train.throughput import ThroughputMeter
from ..model.inference import Log, load_for_inference
from . import submission
from .evaluator import Evaluator

if TYPE_CHECKING:
    from ...config.evaluate_config import EvaluateConfig


def evaluate(
    config: EvaluateConfig, zoo_config: BertConfig | None = None, log: Log | None = None
) -> dict[str, Any]:
    """Evaluate `config.model_dir`, print one JSON line, write eval_results.json and return the metrics.

    With `write_predictions` also writes GLUE's submission files and lists them on stderr. `zoo_config`
    describes a .ckpt; `log` is the log callback (default: no log).
    """
    log = log or (lambda text: None)
    check_folder(config.output_dir)
    task = task_for(to_dict(config))
    if zoo_config and not zoo_config.labels:
        zoo_config = zoo_config.replace(output_mode=task.output_mode)
    tests = submission.read_tests(config, task) if config.write_predictions else ()
    note = partial(print, file=sys.stderr)
    meter = ThroughputMeter(note)
    model = load_for_inference(
        config.model_dir, config, log=log, task=task, zoo_config=zoo_config, meter=meter
    )
    destination = Path(config.output_dir or model.folder)
    if destination.is_dir() and not os.access(destination, os.W_OK):
        raise UserError(f"{destination} is not writable; give another folder for the results: --output_dir")
    logits = partial(meter.timed, partial(collect_logits, model.predict))
    metrics = Evaluator(logits, model.config, task, config, model.tokenizer_dir, log=note).metrics()
    print(json.dumps(metrics), flush=True)
    for line in meter.lines():
        note(line)
    write_json(destination / "eval_results.json", metrics)
    if tests:
        submission.write_submission(config, task, model, tests, note)
    return metrics
