"""One record file, TFRecord or MindRecord, checked and read into a TokenizedDataset."""

import logging

import numpy as np

from ...errors import UserError
from ..dataset import TokenizedDataset
from . import mindrecord as mindrecord_files
from . import tfrecord as tfrecord_files

LOG = logging.getLogger(__name__)
FORMATS = {"tfrecord": tfrecord_files, "mindrecord": mindrecord_files}
TOKEN_COLUMNS = ("input_ids", "input_mask", "segment_ids")
LABEL_COLUMN = "label_ids"
# Google's evaluation files for TPUs are filled up with rows that are no rows: these say 0 here.
REAL_COLUMN = "is_real_example"
MAX_SEGMENT = 255
# Tables hold 32 bits of the files' 64: a larger number would become another one.
MAX_NUMBER = np.iinfo(np.int32).max


def read_file(path, dataset_type, noted_rows=None):
    """Read one record file; `noted_rows` is the count that its manifest gives, where there is one.

    Raises UserError when the file is of the other type, truncated, damaged, or not made of padded token rows.
    """
    _check_type(path, dataset_type)
    form = FORMATS[dataset_type]
    # TFRecord files are walked first: mindspore.dataset checks no checksum and ends quietly at some cuts.
    expected = tfrecord_files.check(path) if dataset_type == "tfrecord" else noted_rows
    names = _wanted_columns(path, form.columns(path))
    try:
        parts = [_compact(batch, path) for batch in form.batches(path, names)]
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {mindrecord_files.error_summary(error)}") from None
    _check_rows(path, sum(part.read for part in parts), {expected, noted_rows} - {None})
    table = TokenizedDataset.joined([part.table for part in parts])
    dropped = sum(part.read for part in parts) - table.rows
    if dropped:
        LOG.warning("%s: %d rows that only fill the file (%s 0) are left out", path, dropped, REAL_COLUMN)
    return table


def _check_type(path, dataset_type):
    is_tfrecord, index = tfrecord_files.looks_like(path), mindrecord_files.index_of(path)
    if dataset_type == "tfrecord" and not is_tfrecord:
        hint = "; it is a MindRecord file: give --dataset_type mindrecord" if index.is_file() else ""
        raise UserError(f"{path} {'is not a TFRecord file' if path.stat().st_size else 'is empty'}{hint}")
    if dataset_type == "mindrecord" and not index.is_file():
        hint = (
            "it is a TFRecord file: give --dataset_type tfrecord"
            if is_tfrecord
            else f"its index {index.name} is not beside it"
        )
        raise UserError(f"{path} cannot be read as MindRecord: {hint}")


def _wanted_columns(path, found):
    lacking = [name for name in TOKEN_COLUMNS if name not in found]
    if lacking:
        raise UserError(f"{path} has no column {', '.join(lacking)}; it has {', '.join(found)}")
    return [*TOKEN_COLUMNS, *(name for name in (LABEL_COLUMN, REAL_COLUMN) if name in found)]


def _check_rows(path, read, counts):
    for count in counts:
        if count != read:
            raise UserError(
                f"{path} holds {read} rows where {count} were written: it is truncated or was "
                "replaced; prepare it again"
            )
    if not read:
        raise UserError(f"{path} holds no row")


class _Part:
    """The real rows of one batch of a file, and how many rows the batch had."""

    def __init__(self, table, read):
        self.table, self.read = table, read


def _compact(batch, path):
    """A batch of padded rows ([rows, S] each) without its padding."""
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
    for name, values, most in (("input_ids", tokens, MAX_NUMBER), ("segment_ids", segments, MAX_SEGMENT)):
        if values.size and (values.min() < 0 or values.max() > most):
            raise UserError(f"{path}: {name} are out of range, a number is below 0 or above {most}")
    labels = _labels(batch, real, kept, path)
    if labels is not None and labels.dtype.kind == "i" and (np.abs(labels) > MAX_NUMBER).any():
        raise UserError(f"{path}: {LABEL_COLUMN} are out of range, a number is above {MAX_NUMBER}")
    table = TokenizedDataset.from_flat(tokens, segments, lengths, labels, ids.shape[1])
    return _Part(table, len(real))


def _labels(batch, real, kept, path):
    """The labels of a batch's real rows, whose real tokens `kept` [rows, S] says."""
    if LABEL_COLUMN not in batch:
        return None
    labels = batch[LABEL_COLUMN].reshape(len(real), -1)[real]
    if labels.shape[1] == 1:
        return labels[:, 0]
    if labels.dtype.kind == "f":
        return labels
    if labels.shape != kept.shape:
        raise UserError(
            f"{path}: label_ids holds {labels.shape[1]} values a row; one belongs there, or one "
            f"for each of its {kept.shape[1]} tokens"
        )
    return labels[kept]
