"""Evaluation alone: a model folder over a task's evaluation records."""

import json
from pathlib import Path

from src.files import write_json
from src.stages import load
from src.stages.evaluation import Evaluator
from src.stages.kernels import equip_device
from src.tasks import find_task


def evaluate(config, zoo_config=None, say=None):
    """Evaluate `config.model_dir`, print one JSON line, write eval_results.json and return the metrics.

    `zoo_config` describes a .ckpt; `say` takes the remarks (default: none of them, the JSON line stands
    alone).
    """
    say = say or (lambda text: None)
    task = find_task(config.task_name)
    files = load.read_model(config.model_dir, say, zoo_config, None)
    device = equip_device(config, say)
    network, bert_config = load.classifier_from(files, task, device, say)
    metrics = Evaluator(network, bert_config, task, config, files.tokenizer_dir).metrics()
    print(json.dumps(metrics), flush=True)
    folder = Path(config.output_dir or files.source.parent)
    write_json(folder / "eval_results.json", metrics)
    return metrics
