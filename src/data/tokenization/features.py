"""Encoding of examples as token ids."""

import dataclasses
from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from tqdm import tqdm

from ...errors import UserError
from ...tasks import TaskSpec, for_mode
from ..dataset import TokenizedDataset, spread_labels
from ..text.examples import Example
from .tokenizer import TextTokenizer

CHUNK = 1024
MIN_LENGTH = 8


@dataclasses.dataclass
class EncodingCounts:
    """Statistics of an encoding: truncated rows, tokens of the texts, [UNK] among them.

    `cut_words` counts the tagged words lost to truncation.
    """

    truncated: int = 0
    tokens: int = 0
    unknown: int = 0
    cut_words: int = 0

    @property
    def unk_share(self) -> float:
        """Fraction of [UNK] among the tokens of the texts, [CLS] and [SEP] excluded."""
        return self.unknown / max(self.tokens, 1)


def encode_examples(
    examples: Sequence[Example],
    tokenizer: TextTokenizer,
    task: TaskSpec,
    max_seq_length: int,
    title: str = "",
) -> tuple[TokenizedDataset, EncodingCounts]:
    """Encode examples of `task`, some or all without a label, with a progress bar `title` on a terminal."""
    dataset, counts = encode_texts([(e.text_a, e.text_b) for e in examples], tokenizer, max_seq_length, title)
    labels = [e.label for e in examples if e.label is not None]
    if labels:
        label_array = for_mode(LABEL_ARRAYS, task.output_mode, "form of labels")
        known = np.array([e.label is not None for e in examples])
        dataset.labels = spread_labels(label_array(labels, task), known)
    return dataset, counts


def encode_texts(
    pairs: Sequence[tuple[str, str | None]], tokenizer: TextTokenizer, max_seq_length: int, title: str = ""
) -> tuple[TokenizedDataset, EncodingCounts]:
    """Encode (text_a, text_b or None) without labels; otherwise like `encode_examples`."""
    check_length(max_seq_length)
    ids: list[list[int]] = []
    segments: list[list[int]] = []
    counts = EncodingCounts()
    # disable=None: tqdm is silent where the output is not a terminal.
    starts = range(0, len(pairs), CHUNK)
    for start in tqdm(starts, desc=title, unit=f" x {CHUNK} rows", disable=None, leave=False):
        chunk = pairs[start : start + CHUNK]
        new_ids, new_segments, truncated = tokenizer.encode_pairs(chunk, max_seq_length)
        ids += new_ids
        segments += new_segments
        counts.truncated += sum(truncated)
        counts.unknown += sum(map(tokenizer.count_unknown, new_ids))
        special = [tokenizer.single.count if b is None else tokenizer.pair.count for _, b in chunk]
        counts.tokens += sum(map(len, new_ids)) - sum(special)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    flat_ids, flat_segments = (
        np.fromiter(chain.from_iterable(rows), np.int32, lengths.sum()) for rows in (ids, segments)
    )
    return TokenizedDataset.from_flat(flat_ids, flat_segments, lengths, None, max_seq_length), counts


def check_length(max_seq_length: int) -> None:
    """Raise UserError for a max_seq_length that leaves no room for text."""
    if max_seq_length < MIN_LENGTH:
        raise UserError(f"max_seq_length {max_seq_length} is too short; give at least {MIN_LENGTH}")


def _class_indices(values: Sequence[str], task: TaskSpec) -> np.ndarray:
    index = {label: i for i, label in enumerate(task.labels)}
    return np.array([index[value] for value in values], np.int32)


def _multi_hot(values: Sequence[str], task: TaskSpec) -> np.ndarray:
    index = {label: i for i, label in enumerate(task.labels)}
    labels = np.zeros((len(values), len(task.labels)), np.float32)
    for row, value in enumerate(values):
        labels[row, [index[name] for name in task.names_in(value)]] = 1
    return labels


def _scores(values: Sequence[str], task: TaskSpec) -> np.ndarray:
    return np.array([float(value) for value in values], np.float32)


# Output mode -> function of (labels as written, task) -> [rows] int32 class indices, [rows, C] float32
# multi-hot or [rows] float32 scores.
LABEL_ARRAYS: dict[str, Callable[[Sequence[str], TaskSpec], np.ndarray]] = {
    "classification": _class_indices,
    "multi_label": _multi_hot,
    "regression": _scores,
}
