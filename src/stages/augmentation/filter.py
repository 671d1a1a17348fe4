"""Filters augmented rows with a teacher."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit, softmax

from ...data.dataloader import BucketDataLoader
from ...data.tokenization.features import LABEL_ARRAYS, encode_texts
from ...data.tokenization.tokenizer import model_tokenizer
from ...infer.predictor import LogitsCell, predict_logits
from ...tasks import TaskSpec
from ...train.throughput import ThroughputMeter, forward_flops
from ..model import load
from ..model.device import DeviceSetup

if TYPE_CHECKING:
    from .augment import Copy


class TeacherFilter:
    """Function of rows -> [n] bool: the teacher predicts the label with probability >= `minimum`.

    `meter` measures the throughput.
    """

    def __init__(
        self,
        files: load.ModelFiles,
        task: TaskSpec,
        device: DeviceSetup,
        minimum: float,
        batch_size: int,
        meter: ThroughputMeter,
    ) -> None:
        self.tokenizer = model_tokenizer(files)
        network, config = load.load_classifier(files, task, device, print)
        self.cell, self.task, self.minimum = LogitsCell(network), task, minimum
        self.meter = meter
        self.graph = meter.compiled(self.cell, "filter", partial(forward_flops, config, logits_only=True))
        self.longest = min(task.max_seq_length, config.max_position_embeddings)
        self.batch_size = batch_size

    def __call__(self, rows: "Sequence[Copy]") -> np.ndarray:
        if not rows:
            return np.zeros(0, bool)
        pairs = [(row.texts[0], row.texts[1] if len(row.texts) > 1 else None) for row in rows]
        dataset, _ = encode_texts(pairs, self.tokenizer, self.longest)
        # The same lengths in each part, as each new one compiles a graph.
        buckets = sorted({-(-self.longest // 4), -(-self.longest // 2), self.longest})
        batches = BucketDataLoader(dataset, self.batch_size, buckets, shuffle=False, seed=0)
        logits = predict_logits(self.cell, batches, self.graph)
        self.meter.add(0, dataset.lengths.sum())
        labels = LABEL_ARRAYS[self.task.output_mode]([row.label for row in rows], self.task)
        return LABEL_CONFIDENCE[self.task.output_mode](logits, labels) >= self.minimum


def _class_confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    probabilities = softmax(logits, axis=-1)
    confidence = probabilities[np.arange(len(labels)), labels]
    return np.where(probabilities.argmax(axis=1) == labels, confidence, 0.0)


def _multi_label_confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    # The least confident of the labels decides.
    confidence = np.where(labels > 0, expit(logits), expit(-logits)).min(axis=1)
    return np.where(confidence > 0.5, confidence, 0.0)


# Output mode -> function of (logits [n, C], labels) -> [n] probability of the label, 0 if not predicted.
LABEL_CONFIDENCE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "classification": _class_confidence,
    "multi_label": _multi_label_confidence,
}
