"""All rows of a dataset in memory, ragged: real tokens one after another, without padding."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..config.bert_config import BertConfig
from ..errors import UserError
from ..tasks import IGNORE_INDEX


@dataclasses.dataclass
class TokenizedDataset:
    """Rows of token ids. T is the number of tokens of all rows together.

    tokens    [T] uint16 (int32 for a vocabulary beyond 65,536), [CLS] and [SEP] included
    segments  [T] uint8, 0 for the first text and 1 for the second
    offsets   [rows + 1] int64: row r is tokens[offsets[r]:offsets[r + 1]]
    labels    [rows] int32 class indices or float32 scores, [rows, C] float32 of 0 and 1 (several labels a
              row), [T] int32 class indices or IGNORE_INDEX (a label for each token), or None where no row has
              a label; where some rows have none, theirs is IGNORE_INDEX, or NaN among floats
    max_seq_length  the fixed length that the rows have, or will have, in a record file
    manifest  the manifest that `prepare` wrote, where there is one
    """

    tokens: np.ndarray
    segments: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray | None
    max_seq_length: int
    manifest: dict | None = None

    @classmethod
    def from_flat(
        cls,
        tokens: ArrayLike,
        segments: ArrayLike,
        lengths: ArrayLike,
        labels: ArrayLike | None,
        max_seq_length: int,
        manifest: dict | None = None,
    ) -> "TokenizedDataset":
        """Build from concatenated tokens and segments [T] and the rows' lengths, in the compact types."""
        tokens = np.asarray(tokens)
        narrow = tokens.size == 0 or tokens.max() <= np.iinfo(np.uint16).max
        if labels is not None:
            labels = np.asarray(labels)
            labels = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int32)
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
        return cls(
            tokens.astype(np.uint16 if narrow else np.int32),
            np.asarray(segments).astype(np.uint8),
            offsets,
            labels,
            int(max_seq_length),
            manifest,
        )

    @classmethod
    def joined(cls, datasets: Sequence["TokenizedDataset"]) -> "TokenizedDataset":
        """Concatenate datasets that agree in length and kind of labels (not checked); some may have none."""
        if len(datasets) == 1:
            return datasets[0]
        tokens, segments, lengths = (
            np.concatenate([getattr(dataset, name) for dataset in datasets])
            for name in ("tokens", "segments", "lengths")
        )
        parts = [dataset.labels for dataset in datasets if dataset.labels is not None]
        labels = np.concatenate(parts) if parts else None
        if 0 < len(parts) < len(datasets):
            known = np.concatenate([np.full(d.rows, d.labels is not None) for d in datasets])
            labels = spread_labels(np.concatenate(parts), known)
        return cls.from_flat(tokens, segments, lengths, labels, datasets[0].max_seq_length)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.offsets) - 1

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        """[rows] int64: real tokens of each row."""
        return np.diff(self.offsets)

    @property
    def labels_by_token(self) -> bool:
        """Whether there is a label for each token instead of each row."""
        return self.labels is not None and len(self.labels) > self.rows

    @property
    def labeled(self) -> np.ndarray:
        """[rows] bool: which rows have a label, of any token where each has one."""
        if self.labels is None:
            return np.zeros(self.rows, bool)
        if self.labels_by_token:
            return np.logical_or.reduceat(self.labels != IGNORE_INDEX, self.offsets[:-1])
        labels = self.labels.reshape(self.rows, -1)
        missing = np.isnan(labels) if labels.dtype.kind == "f" else labels == IGNORE_INDEX
        return ~missing.all(axis=1)

    def by_row(self, values: np.ndarray) -> np.ndarray | list[np.ndarray]:
        """Values of all tokens, [T, ...], as one array per row; those of rows, [rows, ...], as they are."""
        return np.split(values, self.offsets[1:-1]) if len(values) > self.rows else values

    def take(self, indices: ArrayLike) -> "TokenizedDataset":
        """A dataset of the rows `indices`, in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[indices]
        ends = np.cumsum(lengths)
        places = np.arange(lengths.sum()) + np.repeat(self.offsets[indices] - (ends - lengths), lengths)
        labels = self.labels
        if labels is not None:
            labels = labels[places if self.labels_by_token else indices]
        return TokenizedDataset.from_flat(
            self.tokens[places], self.segments[places], lengths, labels, self.max_seq_length, self.manifest
        )

    def labels_of(self, rows: np.ndarray, length: int) -> np.ndarray:
        """The labels of the rows in a batch of `length`; int32 zeros [B] where the dataset has none.

        [B], [B, C], or a label for each token: [B, length], IGNORE_INDEX in the padding.
        """
        if self.labels is None:
            return np.zeros(len(rows), np.int32)
        if not self.labels_by_token:
            return self.labels[rows]
        real, places = self.places(rows, length)
        labels = np.full(real.shape, IGNORE_INDEX, np.int32)
        labels[real] = self.labels[places]
        return labels

    def head(self, rows: int) -> "TokenizedDataset":
        """The first `rows` rows (all where there are fewer, or `rows` is negative)."""
        return self if rows < 0 or rows >= self.rows else self.take(np.arange(rows))

    def padded(self, indices: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows `indices` padded with 0 to `length`.

        Returns input_ids, segment_ids, input_mask, each [len(indices), length] int32.
        Raises UserError when one of the rows is longer.
        """
        real, places = self.places(indices, length)
        ids = np.zeros(real.shape, np.int32)
        segments = np.zeros(real.shape, np.int32)
        ids[real] = self.tokens[places]
        segments[real] = self.segments[places]
        return ids, segments, real.astype(np.int32)

    def places(self, indices: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """The mask of the real tokens in the rows `indices`, padded to `length`, and their places.

        Returns bool [len(indices), length] and, for each True in it, the place in `tokens`. Raises UserError
        when one of the rows is longer.
        """
        lengths = self.lengths[indices]
        if lengths.size and lengths.max() > length:
            raise UserError(
                f"a row of {lengths.max()} tokens does not fit the length {length}; "
                "prepare the records again with a smaller --max_seq_length"
            )
        columns = np.arange(length)
        real = columns < lengths[:, None]
        return real, (self.offsets[indices][:, None] + columns)[real]


def spread_labels(labels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The labels of the rows that are True in `known` [rows], in order, with marks for the other rows."""
    mark = np.nan if labels.dtype.kind == "f" else IGNORE_INDEX
    spread = np.full((len(known), *labels.shape[1:]), mark, labels.dtype)
    spread[known] = labels
    return spread


def check_segments(dataset: TokenizedDataset, bert_config: BertConfig, source: object) -> None:
    """Raise UserError for segments that a model with token types does not have."""
    types, largest = bert_config.type_vocab_size, int(dataset.segments.max())
    if largest >= types and not (types <= 1 and not bert_config.family.token_types):
        raise UserError(
            f"{source}: segment id {largest}, of pairs of texts, is beyond the model's {types} token types; "
            "give single texts, or a model of more token types"
        )
