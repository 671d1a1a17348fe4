"""Record files <-> RecordTable: fixed-length int64 columns, as Google BERT's run_classifier.py writes them."""
import logging
from pathlib import Path

import numpy as np
from tqdm import tqdm

from src.data import mindrecord_files, tfrecord_files
from src.data.record_paths import MANIFEST_FILE, SCHEMA_FILE, record_files
from src.data.table import RecordTable
from src.errors import UserError
from src.files import read_json

LOG = logging.getLogger(__name__)
FORMATS = {"tfrecord": tfrecord_files, "mindrecord": mindrecord_files}
TOKEN_COLUMNS = ("input_ids", "input_mask", "segment_ids")
LABEL_COLUMN = "label_ids"
# Google's TPU evaluation files are filled up with rows that are no rows.
REAL_COLUMN = "is_real_example"
WRITE_CHUNK = 1024


def write_records(path, table, dataset_type):
    """Write a table as one record file, atomically, its rows padded to `table.max_seq_length`.

    Columns input_ids, input_mask, segment_ids [S] int64 and, where the table has labels, label_ids (int64 class
    index or float score).
    """
    FORMATS[dataset_type].write(path, _padded_chunks(table, Path(path).name))


def _padded_chunks(table, title):
    starts = range(0, table.rows, WRITE_CHUNK)
    for start in tqdm(starts, desc=title, unit=f" x {WRITE_CHUNK} rows", disable=None, leave=False):
        rows = np.arange(start, min(start + WRITE_CHUNK, table.rows))
        ids, segments, mask = table.padded(rows, table.max_seq_length)
        chunk = {name: values.astype(np.int64)
                 for name, values in zip(TOKEN_COLUMNS, (ids, mask, segments), strict=True)}
        if table.labels is not None:
            labels = table.labels[rows]
            chunk[LABEL_COLUMN] = labels if labels.dtype.kind == "f" else labels.astype(np.int64)
        yield chunk


def schema_of(table):
    """The model zoo's description of a record file of this table (`rank` 0 and an empty shape: a single value)."""
    columns = {name: {"type": "int64", "rank": 1, "shape": [table.max_seq_length]} for name in TOKEN_COLUMNS}
    if table.labels is not None:
        kind = "float32" if table.labels.dtype.kind == "f" else "int64"
        columns[LABEL_COLUMN] = {"type": kind, "rank": 0, "shape": []}
    return {"datasetType": "TF", "numRows": table.rows, "columns": columns}


def read_records(paths, dataset_type="tfrecord", schema="", split=None):
    """Read record files into memory.

    paths   a file, a comma list of files, or a folder, of which `split` ("train", "dev", ...) is taken
    schema  path of a schema.json; empty: the one beside the files, where there is one
    Raises UserError for whatever is wrong with the files: absent, truncated, damaged, of the other dataset_type,
    without a needed column, of unequal lengths, or against the schema.
    """
    files = record_files(paths, dataset_type, split)
    manifest = _json_beside(files[0], MANIFEST_FILE)
    tables = [_read_file(path, dataset_type, manifest) for path in files]
    table = _joined(tables, files)
    table.manifest = manifest
    schema_file = Path(schema) if schema else files[0].with_name(SCHEMA_FILE)
    if schema_file.is_dir():
        schema_file /= SCHEMA_FILE
    if schema or schema_file.is_file():
        _check_schema(schema_file, table, manifest)
    return table


def _json_beside(path, name):
    beside = path.with_name(name)
    return read_json(beside) if beside.is_file() else None


def _read_file(path, dataset_type, manifest):
    _check_type(path, dataset_type)
    form = FORMATS[dataset_type]
    # TFRecord files are walked first: mindspore.dataset checks no checksum and ends quietly at some cuts.
    rows = tfrecord_files.check(path) if dataset_type == "tfrecord" else None
    found = form.columns(path)
    lacking = [name for name in TOKEN_COLUMNS if name not in found]
    if lacking:
        raise UserError(f"{path} has no column {', '.join(lacking)}; it has {', '.join(found)}")
    names = [*TOKEN_COLUMNS, *(name for name in (LABEL_COLUMN, REAL_COLUMN) if name in found)]
    parts, dropped = [], 0
    try:
        for batch in form.batches(path, names):
            part, real = _compact(batch, path)
            parts.append(part)
            dropped += len(real) - int(real.sum())
    except (RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {mindrecord_files.reason(error)}") from None
    read = sum(len(part[2]) for part in parts) + dropped
    _check_rows(path, read, rows, manifest)
    if dropped:
        LOG.warning("%s: %d rows that only fill the file (%s 0) are left out", path, dropped, REAL_COLUMN)
    tokens, segments, lengths, labels, width = (_concatenated(column) for column in zip(*parts, strict=True))
    return RecordTable.from_flat(tokens, segments, lengths, labels, width[0])


def _check_type(path, dataset_type):
    is_tfrecord, has_index = tfrecord_files.looks_like(path), mindrecord_files.index_of(path).is_file()
    if dataset_type == "tfrecord" and not is_tfrecord:
        hint = "; it is a MindRecord file: give --dataset_type mindrecord" if has_index else ""
        what = "is empty" if path.stat().st_size == 0 else "is not a TFRecord file"
        raise UserError(f"{path} {what}{hint}")
    if dataset_type == "mindrecord" and not has_index:
        hint = ("it is a TFRecord file: give --dataset_type tfrecord" if is_tfrecord
                else f"its index {mindrecord_files.index_of(path).name} is missing")
        raise UserError(f"{path} cannot be read as MindRecord: {hint}")


def _check_rows(path, read, walked, manifest):
    noted = next((entry["rows"] for entry in (manifest or {}).get("files", {}).values()
                  if entry.get("file") == path.name), None)
    expected = walked if walked is not None else noted
    for count in (expected, noted):
        if count is not None and count != read:
            raise UserError(f"{path} holds {read} rows where {count} were written: it is truncated or was replaced; "
                            "make it again with prepare")
    if not read:
        raise UserError(f"{path} holds no row")


def _compact(batch, path):
    """One batch of padded rows -> (tokens, segments, lengths, labels, [S]) of its real rows, and which are real."""
    ids, mask, segments = (batch[name] for name in TOKEN_COLUMNS)
    if not ids.shape == mask.shape == segments.shape or ids.ndim != 2:
        raise UserError(f"{path}: input_ids, input_mask and segment_ids differ in shape: "
                        f"{ids.shape[1:]}, {mask.shape[1:]}, {segments.shape[1:]}")
    real = batch[REAL_COLUMN].reshape(-1) != 0 if REAL_COLUMN in batch else np.ones(len(ids), bool)
    ids, mask, segments = ids[real], mask[real], segments[real]
    lengths = mask.sum(axis=1)
    kept = np.arange(ids.shape[1]) < lengths[:, None]
    if (mask != kept).any() or (lengths == 0).any():
        raise UserError(f"{path}: an input_mask is not ones followed by zeros")
    if ids.size and ids.min() < 0 or segments.size and not 0 <= segments.min() <= segments.max() <= 255:
        raise UserError(f"{path}: input_ids or segment_ids are out of range")
    labels = batch[LABEL_COLUMN].reshape(len(real), -1)[real] if LABEL_COLUMN in batch else None
    if labels is not None and labels.shape[1] != 1:
        raise UserError(f"{path}: label_ids holds {labels.shape[1]} values a row; one belongs there")
    labels = None if labels is None else labels[:, 0]
    return (ids[kept].astype(np.int32), segments[kept].astype(np.uint8), lengths, labels, [ids.shape[1]]), real


def _concatenated(arrays):
    return None if arrays[0] is None else np.concatenate(arrays)


def _joined(tables, files):
    if len(tables) == 1:
        return tables[0]
    if len({table.max_seq_length for table in tables}) > 1:
        shown = ", ".join(f"{path.name} {table.max_seq_length}" for path, table in zip(files, tables, strict=True))
        raise UserError(f"the record files have rows of different lengths: {shown}")
    if len({table.labels is None for table in tables}) > 1:
        raise UserError("some of the record files have label_ids and some have not")
    columns = zip(*((t.tokens, t.segments, t.lengths, t.labels) for t in tables), strict=True)
    return RecordTable.from_flat(*map(_concatenated, columns), tables[0].max_seq_length)


def _check_schema(path, table, manifest):
    """Compare a schema.json with what the rows are: a wrong shape is an error, a wrong numRows is reported."""
    schema = read_json(path)
    columns = schema.get("columns") if isinstance(schema, dict) else None
    if not isinstance(columns, dict):
        raise UserError(f"{path} is not a schema: it has no columns")
    for name in TOKEN_COLUMNS:
        shape = columns.get(name, {}).get("shape", [table.max_seq_length])
        if list(shape) != [table.max_seq_length]:
            raise UserError(f"{path} gives {name} the shape {shape}, but the rows hold {table.max_seq_length} values")
    noted = {entry["rows"] for entry in (manifest or {}).get("files", {}).values()}
    if schema.get("numRows", table.rows) not in {table.rows} | noted:
        LOG.warning("%s: numRows is %s, the files hold %d rows; all are read", path, schema["numRows"], table.rows)
