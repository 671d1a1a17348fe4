"""Examples -> rows of token ids."""

import dataclasses
from itertools import chain

import numpy as np
from tqdm import tqdm

from ...errors import UserError
from ...tasks import for_mode
from ..dataset import TokenizedDataset

CHUNK = 1024
MIN_LENGTH = 8


@dataclasses.dataclass
class EncodingCounts:
    """What happened on the way: rows shortened, tokens of the texts, and how many of these were [UNK].

    `cut_words` are the words with a tag of their own that a shortened row has lost.
    """

    truncated: int = 0
    tokens: int = 0
    unknown: int = 0
    cut_words: int = 0

    @property
    def unk_share(self):
        """Share of [UNK] among the tokens of the texts ([CLS] and [SEP] not counted)."""
        return self.unknown / max(self.tokens, 1)


def encode_examples(examples, tokenizer, task, max_seq_length, title=""):
    """Turn examples of `task` (TaskSpec) into a table.

    Returns (TokenizedDataset, EncodingCounts). A progress bar called `title` is shown on a terminal.
    """
    table, counts = encode_texts([(e.text_a, e.text_b) for e in examples], tokenizer, max_seq_length, title)
    if examples[0].label is not None:
        label_array = for_mode(LABEL_ARRAYS, task.output_mode, "form of labels")
        table.labels = label_array([e.label for e in examples], task)
    return table, counts


def encode_texts(pairs, tokenizer, max_seq_length, title=""):
    """As `encode_examples`, for pairs (text_a, text_b or None) without labels."""
    check_length(max_seq_length)
    ids, segments, counts = [], [], EncodingCounts()
    # disable=None: tqdm is silent where the output is not a terminal.
    starts = range(0, len(pairs), CHUNK)
    for start in tqdm(starts, desc=title, unit=f" x {CHUNK} rows", disable=None, leave=False):
        chunk = pairs[start : start + CHUNK]
        new_ids, new_segments, shortened = tokenizer.encode_pairs(chunk, max_seq_length)
        ids += new_ids
        segments += new_segments
        counts.truncated += sum(shortened)
        counts.unknown += sum(row.count(tokenizer.unk_id) for row in new_ids)
        counts.tokens += sum(map(len, new_ids)) - sum(2 if b is None else 3 for _, b in chunk)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    flat = (np.fromiter(chain.from_iterable(rows), np.int32, lengths.sum()) for rows in (ids, segments))
    return TokenizedDataset.from_flat(*flat, lengths, None, max_seq_length), counts


def check_length(max_seq_length):
    """Raise UserError for rows so short that hardly a word fits."""
    if max_seq_length < MIN_LENGTH:
        raise UserError(f"max_seq_length {max_seq_length} is too short; give at least {MIN_LENGTH}")


def _class_indices(values, task):
    index = {label: i for i, label in enumerate(task.labels)}
    return np.array([index[value] for value in values], np.int32)


def _marks(values, task):
    index = {label: i for i, label in enumerate(task.labels)}
    marks = np.zeros((len(values), len(task.labels)), np.float32)
    for row, value in enumerate(values):
        marks[row, [index[name] for name in task.names_in(value)]] = 1
    return marks


def _scores(values, task):
    return np.array([float(value) for value in values], np.float32)


# Output mode -> function of (labels as written, task) -> [rows] int32, [rows, C] float32 of 0 and 1, [rows]
# float32.
LABEL_ARRAYS = {"classification": _class_indices, "multi_label": _marks, "regression": _scores}
