"""Quality of an ONNX export: the task's metric over labeled rows, in float32 and in integers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config.task.from_records import MANIFEST_KEY, task_for
from ...config.task.validation import METRICS_OF
from ...data import splits
from ...data.dataloader import SortedDataLoader
from ...data.dataset import TokenizedDataset
from ...errors import UserError
from ...infer.logits import collect_logits
from ...infer.onnx.session import onnx_predictor
from ...metrics import agreement_task, best_of, short_name
from ...tasks import IGNORE_INDEX, TaskSpec
from ..evaluation.evaluator import dataset_metrics
from ..model.inference import task_of
from ..model.labels import match_labels
from ..model.load import ModelFiles
from .verify import Comparison

if TYPE_CHECKING:
    from ...tools.export import ExportConfig

BATCH = 32


@dataclasses.dataclass(frozen=True)
class Quality:
    """The task's main metric over `rows` labeled rows.

    `metric` is its short name (acc, f1, matthews ...), `metric_float` its value in float32, `metric_int8`
    that of the integer file (None for a float export). `changes` compares the logits of the two.
    """

    metric: str
    rows: int
    metric_float: float
    metric_int8: float | None = None
    changes: Comparison | None = None

    @property
    def drop(self) -> float:
        """Points (hundredths) by which the integer file is below float32; negative where it is above."""
        return 0.0 if self.metric_int8 is None else 100.0 * (self.metric_float - self.metric_int8)

    def __str__(self) -> str:
        text = f"{self.metric} over {self.rows} rows: {self.metric_float:.4f} in float32"
        if self.metric_int8 is None or self.changes is None:
            return text
        text += f", {self.metric_int8:.4f} in int8 ({0.0 - self.drop:+.2f} points)"
        if self.changes.changed is None:
            return f"{text}; scores differ by at most {self.changes.largest:.2g}"
        changed = f"{self.changes.changed} of {self.changes.count} predictions changed"
        return f"{text}; {changed}, logits differ by at most {self.changes.largest:.2g}"


class LabeledRows:
    """The labeled rows of the evaluation records of an ExportConfig, and the metric of their task.

    The task is that of task_name or of the records' manifest, else the model's own labels. Raises UserError
    for rows without labels and for a model of another task.
    """

    def __init__(self, files: ModelFiles, config: ExportConfig) -> None:
        bert, path = files.config, config.eval_data_dir
        self.dataset = splits.read_split(config, path, "dev")
        self.task = _task_of_records(self.dataset.manifest or {}, files, config)
        splits.check_models(self.dataset, [(bert, files.tokenizer_dir)], self.task, path)
        self.dataset = splits.labeled_rows(self.dataset, path, print)
        order = match_labels(bert, self.task, files.source, lambda text: None)
        if order is None:
            raise UserError(
                f"{files.source} predicts {', '.join(bert.labels) or 'a score'}, but {path} is of "
                f"{self.task.name}, with {', '.join(self.task.labels) or 'a score'}"
            )
        self.order = list(order)
        if splits.labels_are_predicted(self.dataset):
            self.task = agreement_task(self.task)

    def logits(self, model: bytes, dataset: TokenizedDataset | None = None) -> np.ndarray:
        """The logits of an ONNX model for the rows, or for those of `dataset`, in the order of the task's
        labels: [rows, C], or [T, C] of tokens."""
        loader = SortedDataLoader(self.dataset if dataset is None else dataset, BATCH)
        return collect_logits(onnx_predictor(model), loader)[:, self.order]

    def quality(self, logits_float: np.ndarray, logits_int8: np.ndarray | None = None) -> Quality:
        """The Quality of a float model, and of an integer one, by their logits."""
        metric, rows = short_name(self.task), self.dataset.rows
        value = self._metric(logits_float)
        if logits_int8 is None:
            return Quality(metric, rows, value)
        pair = (logits_int8, logits_float)
        if self.dataset.labels_by_token:
            pair = tuple(logits[self.dataset.labels != IGNORE_INDEX] for logits in pair)
        changes = Comparison.of(*pair, self.task.output_mode)
        return Quality(metric, rows, value, self._metric(logits_int8), changes)

    def _metric(self, logits: np.ndarray) -> float:
        return best_of(self.task, dataset_metrics(self.task, self.dataset, logits))


def _task_of_records(manifest: Mapping[str, Any], files: ModelFiles, config: ExportConfig) -> TaskSpec:
    name = config.task_name or ("" if MANIFEST_KEY in manifest else str(manifest.get("task", "")))
    if name or MANIFEST_KEY in manifest:
        return task_for({"task_name": name, "eval_data_dir": config.eval_data_dir})
    metrics = METRICS_OF[files.config.output_mode]
    return dataclasses.replace(task_of(files), metrics=metrics[:1], best_metric=metrics[0])
