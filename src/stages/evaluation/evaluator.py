"""Evaluation over the splits of a task: every row once, GLUE's metric names."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from mindspore import nn

from ...config.bert_config import BertConfig
from ...config.data_config import RecordsConfig
from ...data import splits
from ...data.dataloader import BucketDataLoader
from ...data.dataset import TokenizedDataset
from ...infer.predictor import LogitsCell, predict_logits
from ...metrics import task_metrics
from ...tasks import TaskSpec

if TYPE_CHECKING:
    from ..training.run import Run


class Evaluator:
    """Evaluates one model repeatedly on the evaluation records of a config.

    `predict` is the model: a function of a loader to the logits of its dataset's rows, in the order of the
    task's labels. The first split has GLUE's plain names (eval_accuracy); a second one, MNLI's mismatched,
    the suffix _mm.
    """

    def __init__(
        self,
        predict: Callable[[BucketDataLoader], np.ndarray],
        bert_config: BertConfig,
        task: TaskSpec,
        config: RecordsConfig,
        tokenizer_dir: Path | None = None,
    ) -> None:
        self.predict, self.task, self.loaders = predict, task, {}
        folder, models = config.eval_data_dir, [(bert_config, tokenizer_dir)]
        for split in splits.eval_splits(task, folder):
            dataset = splits.read_split(config, folder, split)
            splits.check_models(dataset, models, task, folder)
            self.loaders[split] = splits.make_loader(dataset, config, config.eval_batch_size, shuffle=False)

    def metrics(self) -> dict[str, Any]:
        """{eval_<metric>: value, eval_samples: rows} of the model as it is now."""
        values = {}
        for place, loader in enumerate(self.loaders.values()):
            computed = dataset_metrics(self.task, loader.dataset, self.predict(loader))
            values.update({name + ("_mm" if place else ""): value for name, value in computed.items()})
        return values


def dataset_metrics(task: TaskSpec, dataset: TokenizedDataset, logits: np.ndarray) -> dict[str, float]:
    """`task_metrics` of the logits of a dataset's rows, [rows, C] or, for token labels, [T, C].

    The labels must be those of the task (`splits.check_models`).
    """
    labels = cast(np.ndarray, dataset.labels)
    if dataset.labels_by_token:
        return task_metrics(task, dataset.by_row(logits), dataset.by_row(labels))
    return task_metrics(task, logits, labels)


def epoch_evaluation(
    run: Run,
    network: nn.Cell,
    bert_config: BertConfig,
    tokenizer_dir: Path | None,
    result_line: Callable[[dict[str, Any]], str] = json.dumps,
) -> Callable[..., None]:
    """A function of epoch and step that evaluates, logs, and keeps the best model unless `keep` is false.

    `result_line` formats the metrics for the log.
    """
    cell = LogitsCell(network)
    predict = partial(predict_logits, cell, graph=run.meter.compiled(cell, "evaluation"))
    evaluator = Evaluator(predict, bert_config, run.task, run.config, tokenizer_dir)

    def evaluate(epoch: int, step: int, keep: bool = True) -> None:
        metrics = {**evaluator.metrics(), "epoch": epoch, "step": step}
        run.logger.info(result_line(metrics))
        if keep:
            run.keep_best(network, bert_config, metrics, tokenizer_dir)
        else:
            run.logger.log_metrics(metrics)

    return evaluate
