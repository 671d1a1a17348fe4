"""The teacher's word on augmented rows."""

from functools import partial

import numpy as np
from scipy.special import softmax

from src.data.dataset import Batches
from src.data.features import encode_texts
from src.data.tokenization import load_tokenizer
from src.errors import UserError
from src.infer.evaluate import LogitsCell, predict_logits
from src.stages import load
from src.stages.throughput import forward_operations


class TeacherFilter:
    """Function of rows (with `texts` and `label`) -> [n] bool: the teacher agrees with the label, surely.

    `meter` counts what it takes.
    """

    def __init__(self, files, task, device, minimum, batch_size, meter):
        if files.tokenizer_dir is None:
            raise UserError(f"{files.source.parent} holds no tokenizer files; copy them beside the weights")
        self.tokenizer = load_tokenizer(files.tokenizer_dir)
        network, config = load.classifier_from(files, task, device, print)
        self.cell, self.labels, self.minimum = LogitsCell(network), list(task.labels), minimum
        self.meter = meter
        self.graph = meter.graph(self.cell, "filter", partial(forward_operations, config))
        self.longest = min(task.max_seq_length, config.max_position_embeddings)
        self.batch_size = batch_size

    def __call__(self, rows):
        if not rows:
            return np.zeros(0, bool)
        pairs = [(row.texts[0], row.texts[1] if len(row.texts) > 1 else None) for row in rows]
        table, _ = encode_texts(pairs, self.tokenizer, self.longest)
        # The same lengths in each part: a new one would be a new graph.
        buckets = sorted({-(-self.longest // 4), -(-self.longest // 2), self.longest})
        batches = Batches(table, self.batch_size, buckets, shuffle=False, seed=0)
        probabilities = softmax(predict_logits(self.cell, batches, self.graph), axis=-1)
        self.meter.add(0, table.lengths.sum())
        wanted = np.array([self.labels.index(row.label) for row in rows])
        sure = probabilities[np.arange(len(rows)), wanted] >= self.minimum
        return sure & (probabilities.argmax(axis=1) == wanted)
