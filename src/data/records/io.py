"""Record files <-> TokenizedDataset: int64 columns of fixed length, as in BERT's run_classifier.py."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ...errors import UserError
from ...files import read_json
from ...tasks import IGNORE_INDEX, TASKS, for_mode
from ..dataset import TokenizedDataset
from .paths import MANIFEST_FILE, SCHEMA_FILE, record_files
from .reader import FORMATS, LABEL_COLUMN, TOKEN_COLUMNS, read_file

LOG = logging.getLogger(__name__)
WRITE_CHUNK = 1024


def write_records(path, table, dataset_type):
    """Write a table as one record file, atomically, its rows padded to `table.max_seq_length`.

    Columns input_ids, input_mask, segment_ids [S] int64 and, where the table has labels, label_ids (int64
    class index, float score, [C] floats of 0 and 1, or [S] int64 class indices of the tokens).
    """
    FORMATS[dataset_type].write(path, _padded_chunks(table, Path(path).name))


def _padded_chunks(table, title):
    starts = range(0, table.rows, WRITE_CHUNK)
    for start in tqdm(starts, desc=title, unit=f" x {WRITE_CHUNK} rows", disable=None, leave=False):
        rows = np.arange(start, min(start + WRITE_CHUNK, table.rows))
        ids, segments, mask = table.padded(rows, table.max_seq_length)
        chunk = {
            name: values.astype(np.int64)
            for name, values in zip(TOKEN_COLUMNS, (ids, mask, segments), strict=True)
        }
        if table.labels is not None:
            labels = table.labels_of(rows, table.max_seq_length)
            chunk[LABEL_COLUMN] = labels if labels.dtype.kind == "f" else labels.astype(np.int64)
        yield chunk


def schema_of(table):
    """The model zoo's description of this table's record file (an empty shape is a single value)."""
    tokens = {"type": "int64", "rank": 1, "shape": [table.max_seq_length]}
    columns = {name: dict(tokens) for name in TOKEN_COLUMNS}
    if table.labels is not None:
        kind = "float32" if table.labels.dtype.kind == "f" else "int64"
        shape = list(table.labels_of(np.arange(1), table.max_seq_length).shape[1:])
        columns[LABEL_COLUMN] = {"type": kind, "rank": len(shape), "shape": shape}
    return {"datasetType": "TF", "numRows": table.rows, "columns": columns}


def read_records(paths, dataset_type="tfrecord", schema="", split=None):
    """Read record files into memory.

    paths   a file, a comma list of files, or a folder, of which `split` ("train", "dev", ...) is taken
    schema  path of a schema.json; empty: the one beside the files, where there is one
    Raises UserError for whatever is wrong with the files: absent, truncated, damaged, of the other
    dataset_type, without a needed column, of unequal lengths, of folders that were prepared with another
    tokenizer or other labels, or against the schema.
    """
    files = record_files(paths, dataset_type, split)
    schema_file = _schema_file(schema, files[0])
    found = {path.parent: path.with_name(MANIFEST_FILE) for path in files}
    manifests = {folder: read_json(file) for folder, file in found.items() if file.is_file()}
    _check_prepared_alike(manifests)
    noted = {
        folder / entry["file"]: entry["rows"]
        for folder, manifest in manifests.items()
        for entry in manifest.get("files", {}).values()
    }
    tables = [read_file(path, dataset_type, noted.get(path)) for path in files]
    _check_alike(files, tables)
    table = TokenizedDataset.joined(tables)
    table.manifest = next(iter(manifests.values()), None)
    if schema_file is not None:
        _check_schema(schema_file, table, set(noted.values()))
    return table


class LabelForm(NamedTuple):
    """How a batch holds the labels of an output mode: kind of number (as NumPy's dtype.kind), dimensions.

    `complaint` is a function of (labels, task): what is wrong with them in words, or None.
    """

    name: str
    kind: str
    dimensions: int
    complaint: Callable


def _beyond_classes(labels, task):
    if 0 <= labels.min() <= labels.max() < len(task.labels):
        return None
    return f"labels from {labels.min()} to {labels.max()}, but {task.name} has {len(task.labels)} classes"


def _other_width(labels, task):
    if labels.shape[1] == len(task.labels):
        return _not_finite(labels, task)
    return f"{labels.shape[1]} labels a row, but {task.name} has {len(task.labels)}"


def _beyond_tags(labels, task):
    counted = labels[labels != IGNORE_INDEX]
    return _beyond_classes(counted, task) if counted.size else "no label that counts"


def _not_finite(labels, task):
    return None if np.isfinite(labels).all() else "labels that are no finite numbers"


LABEL_FORMS = {
    "classification": LabelForm("class indices", "i", 1, _beyond_classes),
    "multi_label": LabelForm("a mark for each label", "f", 2, _other_width),
    "regression": LabelForm("scores", "f", 1, _not_finite),
    "token_classification": LabelForm("a label for each token", "i", 2, _beyond_tags),
}


def _form_name(table):
    found = table.labels.dtype.kind, 2 if table.labels_by_token else table.labels.ndim
    return next(
        (form.name for form in LABEL_FORMS.values() if (form.kind, form.dimensions) == found), "other labels"
    )


def check_labels(table, task, where):
    """Refuse a table (read from `where`) whose labels are absent or cannot be those of `task`."""
    if table.labels is None:
        raise UserError(f"{where} has no {LABEL_COLUMN}: its rows can only be predicted")
    form, found = for_mode(LABEL_FORMS, task.output_mode, "form of labels"), _form_name(table)
    if found != form.name:
        raise UserError(f"{where} holds {found}, but {task.name} is a {task.output_mode} task")
    complaint = form.complaint(table.labels, task)
    if complaint:
        raise UserError(f"{where} holds {complaint}")
    manifest = table.manifest or {}
    made_for, labels = manifest.get("task"), manifest.get("labels")
    if labels is not None and list(task.labels) != labels:
        raise UserError(
            f"{where} was prepared for {made_for} with the labels "
            f"{', '.join(labels) or 'of a score'}, not for {task.name} with "
            f"{', '.join(task.labels) or 'a score'}"
        )
    # Labels called 0 and 1 are those of several tasks; one of your own may be named after its file.
    if made_for != task.name and {made_for, task.name} <= set(TASKS):
        raise UserError(
            f"{where} was prepared for {made_for}, not for {task.name}; give --task_name {made_for}"
        )


def _schema_file(schema, first_file):
    if not schema:
        beside = first_file.with_name(SCHEMA_FILE)
        return beside if beside.is_file() else None
    path = Path(schema)
    return path / SCHEMA_FILE if path.is_dir() else path


def _check_prepared_alike(manifests):
    """Refuse folders whose manifests {folder: manifest} tell of different tokenizers or labels."""
    for what in ("tokenizer", "labels"):
        known = [(folder, manifest[what]) for folder, manifest in manifests.items() if what in manifest]
        for folder, value in known[1:]:
            if value != known[0][1]:
                raise UserError(
                    f"the records in {known[0][0]} and in {folder} have not the same {what}; "
                    "prepare them alike to read them together"
                )


def _check_alike(files, tables):
    if len({table.max_seq_length for table in tables}) > 1:
        lengths = (f"{path.name} {table.max_seq_length}" for path, table in zip(files, tables, strict=True))
        raise UserError(f"the record files have rows of different lengths: {', '.join(lengths)}")
    kinds = {
        None if t.labels is None else (t.labels.dtype, t.labels.shape[1:], t.labels_by_token) for t in tables
    }
    if len(kinds) > 1:
        names = ", ".join(path.name for path in files)
        raise UserError(f"the record files differ in the kind of their {LABEL_COLUMN}: {names}")


def _check_schema(path, table, noted_rows):
    """Compare a schema.json with the rows: a wrong shape is an error, a wrong numRows is reported."""
    schema = read_json(path)
    columns = schema.get("columns") if isinstance(schema, dict) else None
    if not isinstance(columns, dict):
        raise UserError(f"{path} is not a schema: it has no columns")
    for name in TOKEN_COLUMNS:
        shape = columns.get(name, {}).get("shape", [table.max_seq_length])
        if list(shape) != [table.max_seq_length]:
            raise UserError(
                f"{path} gives {name} the shape {shape}, but each row holds {table.max_seq_length} values"
            )
    # A prepared folder has one schema for all its files: numRows may be that of another of them.
    if schema.get("numRows", table.rows) not in {table.rows} | noted_rows:
        LOG.warning(
            "%s: numRows is %s, but there are %d rows; all are read", path, schema["numRows"], table.rows
        )
