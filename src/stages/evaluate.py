"""Evaluation alone: a model folder over a task's evaluation records."""

import json
from functools import partial
from pathlib import Path

from src.files import write_json
from src.infer.logits import collect_logits
from src.stages.evaluation import Evaluator
from src.stages.open_model import open_model
from src.tasks import find_task


def evaluate(config, zoo_config=None, say=None):
    """Evaluate `config.model_dir`, print one JSON line, write eval_results.json and return the metrics.

    `zoo_config` describes a .ckpt; `say` takes the remarks (default: none of them, the JSON line stands
    alone).
    """
    say = say or (lambda text: None)
    task = find_task(config.task_name)
    model = open_model(config.model_dir, config, say=say, task=task, zoo_config=zoo_config)
    logits = partial(collect_logits, model.predict)
    metrics = Evaluator(logits, model.config, task, config, model.tokenizer_dir).metrics()
    print(json.dumps(metrics), flush=True)
    write_json(Path(config.output_dir or model.file.parent) / "eval_results.json", metrics)
    return metrics
