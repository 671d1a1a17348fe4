"""Rows as long as those of SST-2, so that what depends on lengths is measured without the data."""

import numpy as np

from src.config.td_config import TaskDistillConfig
from src.data.dataset import TokenizedDataset

MAX_SEQ_LENGTH = 64
VOCABULARY = 30522
# How many of SST-2's 67,349 training sentences have n tokens, n from 0 to 64, [CLS] and [SEP] included:
# GLUE's train.tsv (Wang et al. 2018; Socher et al. 2013) in the pieces of bert-base-uncased, cut at 64.
COUNTS = (
    0, 0, 0, 1978, 5323, 6064, 5345, 4749, 4155, 3713, 3267, 2947, 2650, 2413, 2138, 1950, 1777, 1661, 1515,
    1373, 1285, 1132, 1106, 1046, 909, 820, 806, 733, 692, 628, 538, 491, 442, 448, 400, 337, 304, 286, 242,
    195, 203, 192, 155, 148, 130, 89, 82, 85, 73, 55, 42, 50, 40, 36, 19, 21, 22, 15, 8, 6, 3, 2, 5, 5, 5,
)  # fmt: skip


def whole_table(records=""):
    """All training rows of the folder `records` that prepare wrote; without one random tokens of COUNTS."""
    if records:
        from src.data.splits import read_split  # brings MindSpore, which PyTorch's process does without

        return read_split(TaskDistillConfig(seq_length=MAX_SEQ_LENGTH), records, "train")
    draw = np.random.default_rng(0)
    lengths = draw.permutation(np.repeat(np.arange(len(COUNTS)), COUNTS))
    tokens = draw.integers(1000, VOCABULARY, lengths.sum())
    labels = draw.integers(0, 2, len(lengths))
    return TokenizedDataset.from_flat(tokens, np.zeros_like(tokens), lengths, labels, MAX_SEQ_LENGTH)


def slice_of(table, rows):
    """`rows` rows of a table, taken evenly from its shortest to its longest."""
    order = np.argsort(table.lengths, kind="stable")
    places = ((np.arange(rows) + 0.5) * table.rows / rows).astype(np.int64)
    # In a random order again: what reads row after row must not meet them sorted.
    return table.take(np.random.default_rng(0).permutation(order[places]))
