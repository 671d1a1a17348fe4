"""The teacher's word on augmented rows."""

from functools import partial

import numpy as np
from scipy.special import expit, softmax

from ...data.dataloader import BucketDataLoader
from ...data.tokenization.features import LABEL_ARRAYS, encode_texts
from ...data.tokenization.tokenizer import model_tokenizer
from ...infer.predictor import LogitsCell, predict_logits
from ...train.throughput import forward_flops
from ..model import load


class TeacherFilter:
    """Function of rows (with `texts` and `label`) -> [n] bool: the teacher agrees with the label, surely.

    `meter` counts what it takes.
    """

    def __init__(self, files, task, device, minimum, batch_size, meter):
        self.tokenizer = model_tokenizer(files)
        network, config = load.load_classifier(files, task, device, print)
        self.cell, self.task, self.minimum = LogitsCell(network), task, minimum
        self.meter = meter
        self.graph = meter.compiled(self.cell, "filter", partial(forward_flops, config))
        self.longest = min(task.max_seq_length, config.max_position_embeddings)
        self.batch_size = batch_size

    def __call__(self, rows):
        if not rows:
            return np.zeros(0, bool)
        pairs = [(row.texts[0], row.texts[1] if len(row.texts) > 1 else None) for row in rows]
        table, _ = encode_texts(pairs, self.tokenizer, self.longest)
        # The same lengths in each part: a new one would be a new graph.
        buckets = sorted({-(-self.longest // 4), -(-self.longest // 2), self.longest})
        batches = BucketDataLoader(table, self.batch_size, buckets, shuffle=False, seed=0)
        logits = predict_logits(self.cell, batches, self.graph)
        self.meter.add(0, table.lengths.sum())
        wanted = LABEL_ARRAYS[self.task.output_mode]([row.label for row in rows], self.task)
        return AGREEMENTS[self.task.output_mode](logits, wanted) >= self.minimum


def _with_class(logits, wanted):
    probabilities = softmax(logits, axis=-1)
    agreed = probabilities[np.arange(len(wanted)), wanted]
    return np.where(probabilities.argmax(axis=1) == wanted, agreed, 0.0)


def _with_marks(logits, wanted):
    # The least sure yes or no among the labels decides.
    agreed = np.where(wanted > 0, expit(logits), expit(-logits)).min(axis=1)
    return np.where(agreed > 0.5, agreed, 0.0)


# Output mode -> function of (logits [n, C], labels): how sure the teacher is of the label, 0 where it says
# another.
AGREEMENTS = {"classification": _with_class, "multi_label": _with_marks}
