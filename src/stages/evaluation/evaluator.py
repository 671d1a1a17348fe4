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
from ...metrics import agreement_task, predicted_labels, task_metrics
from ...tasks import TaskSpec
from .bootstrap import Interval
from .intervals import metric_interval

if TYPE_CHECKING:
    from ..training.run import Run


class Evaluator:
    """Evaluates one model repeatedly on the evaluation records of a config.

    `predict` is the model: a function of a loader to the logits of its dataset's rows, in the order of the
    task's labels. The first split has GLUE's plain names (eval_accuracy); a second one, MNLI's mismatched,
    the suffix _mm. Rows without a label are left out, which is `log`ged. Where no row of any split has one,
    the labels are the predictions of `reference`, a function as `predict`, and `task` becomes one of
    agreement; without a `reference` this is a UserError.
    """

    def __init__(
        self,
        predict: Callable[[BucketDataLoader], np.ndarray],
        bert_config: BertConfig,
        task: TaskSpec,
        config: RecordsConfig,
        tokenizer_dir: Path | None = None,
        reference: Callable[[BucketDataLoader], np.ndarray] | None = None,
        log: Callable[[str], None] = print,
    ) -> None:
        self.predict, self.task = predict, task
        folder, models = config.eval_data_dir, [(bert_config, tokenizer_dir)]
        datasets = {
            split: splits.read_split(config, folder, split) for split in splits.eval_splits(task, folder)
        }
        for dataset in datasets.values():
            splits.check_models(dataset, models, task, folder)
        unlabeled = not any(dataset.labeled.any() for dataset in datasets.values())
        if not (unlabeled and reference):
            datasets = {
                split: splits.labeled_rows(dataset, folder, log) for split, dataset in datasets.items()
            }
        self.loaders = {
            split: splits.make_loader(dataset, config, config.eval_batch_size, shuffle=False)
            for split, dataset in datasets.items()
        }
        if all(map(splits.labels_are_predicted, datasets.values())):
            self.task = agreement_task(task)
        if unlabeled and reference:
            self.task = agreement_task(task)
            for loader in self.loaders.values():
                loader.dataset.labels = predicted_labels(task, reference(loader))

    @property
    def datasets(self) -> dict[str, TokenizedDataset]:
        """{split: its rows}."""
        return {split: loader.dataset for split, loader in self.loaders.items()}

    def metrics(self) -> dict[str, Any]:
        """{eval_<metric>: value, eval_samples: rows} of the model as it is now.

        `first_logits` are its logits of the first split then.
        """
        values = {}
        for place, loader in enumerate(self.loaders.values()):
            logits = self.predict(loader)
            if not place:
                self.first_logits = logits
            computed = dataset_metrics(self.task, loader.dataset, logits)
            values.update({name + ("_mm" if place else ""): value for name, value in computed.items()})
        return values


def dataset_metrics(task: TaskSpec, dataset: TokenizedDataset, logits: np.ndarray) -> dict[str, float]:
    """`task_metrics` of the logits of a dataset's rows, [rows, C] or, for token labels, [T, C].

    The labels must be those of the task (`splits.check_models`).
    """
    labels = cast(np.ndarray, dataset.labels)
    return task_metrics(task, dataset.by_row(logits), dataset.by_row(labels))


def dataset_interval(task: TaskSpec, dataset: TokenizedDataset, logits: np.ndarray) -> tuple[float, Interval]:
    """(best_metric, 95 % interval) of the logits of a dataset's rows, as for `dataset_metrics`."""
    labels = cast(np.ndarray, dataset.labels)
    return metric_interval(task, dataset.by_row(logits), dataset.by_row(labels))


class EpochEvaluation:
    """Evaluates a run's network, logs, and keeps the best model with the interval of its metric.

    `result_line` formats the metrics for the log. Called with epoch and step; unless `keep` the metrics are
    only logged. Where no evaluation row has a label but that of a model, the metric is the agreement with
    `teacher`, or with that model, which replaces those of the run's task.
    """

    def __init__(
        self,
        run: Run,
        network: nn.Cell,
        bert_config: BertConfig,
        tokenizer_dir: Path | None,
        result_line: Callable[[dict[str, Any]], str] = json.dumps,
        teacher: nn.Cell | None = None,
    ) -> None:
        self.run, self.model, self.result_line = run, (network, bert_config, tokenizer_dir), result_line
        cell = LogitsCell(network)
        predict = partial(predict_logits, cell, graph=run.meter.compiled(cell, "evaluation"))
        log, reference = run.logger.info, partial(_frozen_logits, run, teacher) if teacher else None
        self.evaluator = Evaluator(predict, bert_config, run.task, run.config, tokenizer_dir, reference, log)
        if self.evaluator.task is not run.task:
            run.task = self.evaluator.task
            log("no evaluation row has a label: the metric is the agreement with the teacher's predictions")

    def __call__(self, epoch: int, step: int, keep: bool = True) -> None:
        run, evaluator = self.run, self.evaluator
        metrics = {**evaluator.metrics(), "epoch": epoch, "step": step}
        run.logger.info(self.result_line(metrics))
        if not keep:
            run.logger.log_metrics(metrics)
            return
        network, bert_config, tokenizer_dir = self.model
        if run.keep_best(network, bert_config, metrics, tokenizer_dir):
            dataset = next(iter(evaluator.loaders.values())).dataset
            run.best_interval = dataset_interval(run.task, dataset, evaluator.first_logits)[1]


def _frozen_logits(run: Run, network: nn.Cell, loader: BucketDataLoader) -> np.ndarray:
    cell = LogitsCell(network)
    return predict_logits(cell, loader, graph=run.meter.compiled(cell, "teacher on evaluation rows"))
