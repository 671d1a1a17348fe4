"""Validates one TFRecord or MindRecord file and reads it into a TokenizedDataset."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...digests import require_digest
from ...errors import UserError
from ..dataset import TokenizedDataset, spread_labels
from . import mindrecord as mindrecord_files
from . import tfrecord as tfrecord_files
from .paths import MANIFEST_FILE

LOG = logging.getLogger(__name__)
FORMATS = {"tfrecord": tfrecord_files, "mindrecord": mindrecord_files}
TOKEN_COLUMNS = ("input_ids", "input_mask", "segment_ids")
LABEL_COLUMN = "label_ids"
# 0 for rows without a label; a file without this column has a label in every row.
MASK_COLUMN = "label_mask"
# Google's evaluation files for TPUs are padded with dummy rows, for which this column is 0.
REAL_COLUMN = "is_real_example"
MAX_SEGMENT = 255
# Datasets hold 32-bit integers, the files 64-bit ones: a larger number would wrap around.
MAX_NUMBER = np.iinfo(np.int32).max


def read_file(
    path: Path,
    dataset_type: str,
    expected_rows: int | None = None,
    digests: Mapping[Path, str] | None = None,
) -> TokenizedDataset:
    """Read one record file; `expected_rows` and `digests` {file: SHA-256} are those of its manifest, if any.

    Raises UserError for a file of the other type, truncated, damaged, or without padded token rows.
    """
    _check_type(path, dataset_type)
    form = FORMATS[dataset_type]
    for file in (path, mindrecord_files.index_of(path)):
        # Before the framework opens it: damaged, it may end the process.
        if expected := (digests or {}).get(file):
            require_digest(file, expected, path.with_name(MANIFEST_FILE), "prepare the records again")
    names = _select_columns(path, form.columns(path))
    try:
        parts = [_unpad(batch, path) for batch in form.batches(path, names)]
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {mindrecord_files.error_summary(error)}") from error
    read = sum(part.read for part in parts)
    _check_rows(path, read, expected_rows)
    dataset = TokenizedDataset.joined([part.dataset for part in parts])
    dropped = read - dataset.rows
    if dropped:
        LOG.warning("%s: %d padding rows (%s 0) are skipped", path, dropped, REAL_COLUMN)
    return dataset


def _check_type(path: Path, dataset_type: str) -> None:
    is_tfrecord, index = tfrecord_files.looks_like(path), mindrecord_files.index_of(path)
    if dataset_type == "tfrecord" and not is_tfrecord:
        hint = "; it is a MindRecord file: give --dataset_type mindrecord" if index.is_file() else ""
        raise UserError(f"{path} {'is not a TFRecord file' if path.stat().st_size else 'is empty'}{hint}")
    if dataset_type == "mindrecord" and not index.is_file():
        hint = (
            "it is a TFRecord file: give --dataset_type tfrecord"
            if is_tfrecord
            else f"its index {index.name} is missing"
        )
        raise UserError(f"{path} cannot be read as MindRecord: {hint}")


def _select_columns(path: Path, columns: Sequence[str]) -> list[str]:
    missing = [name for name in TOKEN_COLUMNS if name not in columns]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; it has {', '.join(columns)}")
    optional = (LABEL_COLUMN, MASK_COLUMN, REAL_COLUMN)
    return [*TOKEN_COLUMNS, *(name for name in optional if name in columns)]


def _check_rows(path: Path, read: int, expected: int | None) -> None:
    if expected not in (None, read):
        raise UserError(
            f"{path} holds {read} rows where {expected} were written: it is truncated or was replaced; "
            "prepare it again"
        )
    if not read:
        raise UserError(f"{path} holds no row")


class _Part(NamedTuple):
    """Real rows of one batch of a file, and the number of rows in the batch."""

    dataset: TokenizedDataset
    read: int


def _unpad(batch: dict[str, np.ndarray], path: Path) -> _Part:
    """Remove the padding of a batch of rows [rows, S]."""
    ids, mask, segments = (batch[name] for name in TOKEN_COLUMNS)
    if ids.ndim != 2 or not ids.shape == mask.shape == segments.shape:
        raise UserError(
            f"{path}: input_ids, input_mask and segment_ids differ in shape: "
            f"{ids.shape[1:]}, {mask.shape[1:]}, {segments.shape[1:]}"
        )
    real = np.ones(len(ids), bool)
    if REAL_COLUMN in batch:
        real = batch[REAL_COLUMN].reshape(len(ids), -1)[:, 0] != 0
        ids, mask, segments = ids[real], mask[real], segments[real]
    lengths = mask.sum(axis=1)
    kept = np.arange(ids.shape[1]) < lengths[:, None]
    if (mask != kept).any() or (lengths == 0).any():
        raise UserError(f"{path}: an input_mask is not ones followed by zeros")
    tokens, segments = ids[kept], segments[kept]
    for name, values, limit in (("input_ids", tokens, MAX_NUMBER), ("segment_ids", segments, MAX_SEGMENT)):
        if values.size and (values.min() < 0 or values.max() > limit):
            raise UserError(f"{path}: {name} are out of range, a number is below 0 or above {limit}")
    labels = _labels(batch, real, kept, path)
    if labels is not None and labels.dtype.kind == "i" and (np.abs(labels) > MAX_NUMBER).any():
        raise UserError(f"{path}: {LABEL_COLUMN} are out of range, a number is above {MAX_NUMBER}")
    dataset = TokenizedDataset.from_flat(tokens, segments, lengths, labels, ids.shape[1])
    return _Part(dataset, len(real))


def _labels(
    batch: dict[str, np.ndarray], real: np.ndarray, kept: np.ndarray, path: Path
) -> np.ndarray | None:
    """Labels of a batch's real rows; `kept` [rows, S] is True for their real tokens."""
    if LABEL_COLUMN not in batch:
        return None
    labels = batch[LABEL_COLUMN].reshape(len(real), -1)[real]
    if MASK_COLUMN in batch:
        mask = batch[MASK_COLUMN].reshape(len(real), -1)[real, 0]
        if not np.isin(mask, (0, 1)).all():
            raise UserError(f"{path}: a {MASK_COLUMN} is neither 0 nor 1")
        labels = spread_labels(labels[mask == 1], mask == 1)
    if labels.shape[1] == 1:
        return labels[:, 0]
    if labels.dtype.kind == "f":
        return labels
    if labels.shape != kept.shape:
        raise UserError(
            f"{path}: label_ids holds {labels.shape[1]} values per row instead of one, or one for each "
            f"of its {kept.shape[1]} tokens"
        )
    return labels[kept]
