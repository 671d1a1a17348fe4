"""Random rows with the length distribution of SST-2, for timings that depend on lengths but need no data."""

import numpy as np

from src.config.td_config import TaskDistillConfig
from src.data.dataset import TokenizedDataset

MAX_SEQ_LENGTH = 64
VOCABULARY = 30522
# Number of SST-2's 67,349 training sentences with n tokens, n from 0 to 64, [CLS] and [SEP] included:
# GLUE's train.tsv (Wang et al. 2018; Socher et al. 2013), tokenized by bert-base-uncased, truncated to 64.
COUNTS = (
    0, 0, 0, 1978, 5323, 6064, 5345, 4749, 4155, 3713, 3267, 2947, 2650, 2413, 2138, 1950, 1777, 1661, 1515,
    1373, 1285, 1132, 1106, 1046, 909, 820, 806, 733, 692, 628, 538, 491, 442, 448, 400, 337, 304, 286, 242,
    195, 203, 192, 155, 148, 130, 89, 82, 85, 73, 55, 42, 50, 40, 36, 19, 21, 22, 15, 8, 6, 3, 2, 5, 5, 5,
)  # fmt: skip


def full_dataset(records: str = "") -> TokenizedDataset:
    """Read all training rows from the folder `records`; without one, draw random tokens by COUNTS."""
    if records:
        from src.data.splits import read_split  # imports MindSpore, which PyTorch's process does not need

        return read_split(TaskDistillConfig(seq_length=MAX_SEQ_LENGTH), records, "train")
    rng = np.random.default_rng(0)
    lengths = rng.permutation(np.repeat(np.arange(len(COUNTS)), COUNTS))
    tokens = rng.integers(1000, VOCABULARY, lengths.sum())
    labels = rng.integers(0, 2, len(lengths))
    return TokenizedDataset.from_flat(tokens, np.zeros_like(tokens), lengths, labels, MAX_SEQ_LENGTH)


def slice_of(dataset: TokenizedDataset, rows: int) -> TokenizedDataset:
    """Take `rows` rows of a dataset, evenly spaced from its shortest to its longest."""
    order = np.argsort(dataset.lengths, kind="stable")
    indices = ((np.arange(rows) + 0.5) * dataset.rows / rows).astype(np.int64)
    # Shuffle: sequential readers should not see rows sorted by length.
    return dataset.take(np.random.default_rng(0).permutation(order[indices]))
