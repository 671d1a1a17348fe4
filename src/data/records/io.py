"""Reading and writing of record files: int64 columns of fixed length, as in BERT's run_classifier.py."""

import logging
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ...config.task.from_records import MANIFEST, PREPARE_AGAIN
from ...digests import sha256
from ...errors import UserError
from ...files import is_file, split_paths
from ...json_reader import read_object
from ...tasks import IGNORE_INDEX, TASKS, TaskSpec, for_mode
from ..dataset import TokenizedDataset
from ..tokenization.settings import differing_setting
from .mindrecord import index_of
from .paths import MANIFEST_FILE, SCHEMA_FILE, record_files
from .reader import FORMATS, LABEL_COLUMN, MASK_COLUMN, TOKEN_COLUMNS, read_file

LOG = logging.getLogger(__name__)
WRITE_CHUNK = 1024
SCHEMA = {"columns": {str: {"shape?": [int]}}, "numRows?": int}


def write_records(path: str | Path, dataset: TokenizedDataset, dataset_type: str) -> None:
    """Write a dataset as one record file, atomically, its rows padded to `dataset.max_seq_length`.

    Columns input_ids, input_mask, segment_ids [S] int64 and, for labeled data, label_ids (int64 class index,
    float score, [C] multi-hot floats, or [S] int64 class indices of the tokens). Where some rows have no
    label, label_mask is 0 for these, whose label_ids are IGNORE_INDEX, and 1 for the others.
    """
    path = Path(path)
    FORMATS[dataset_type].write(path, _padded_chunks(dataset, path.name))


def record_digests(path: Path) -> dict[str, str]:
    """{file name: SHA-256} of a record file and of its index, if it has one: its "sha256" in a manifest."""
    return {file.name: sha256(file) for file in (path, index_of(path)) if file.is_file()}


def _padded_chunks(dataset: TokenizedDataset, title: str) -> Iterator[dict[str, np.ndarray]]:
    starts, labeled = range(0, dataset.rows, WRITE_CHUNK), dataset.labeled
    for start in tqdm(starts, desc=title, unit=f" x {WRITE_CHUNK} rows", disable=None, leave=False):
        rows = np.arange(start, min(start + WRITE_CHUNK, dataset.rows))
        ids, segments, mask = dataset.padded(rows, dataset.max_seq_length)
        chunk = {
            name: values.astype(np.int64)
            for name, values in zip(TOKEN_COLUMNS, (ids, mask, segments), strict=True)
        }
        if dataset.labels is not None:
            labels = dataset.labels_of(rows, dataset.max_seq_length)
            if not labeled.all():
                chunk[MASK_COLUMN] = labeled[rows].astype(np.int64)
                # MindRecord writes floats as JSON, which has no NaN.
                labels = np.nan_to_num(labels, nan=IGNORE_INDEX)
            chunk[LABEL_COLUMN] = labels if labels.dtype.kind == "f" else labels.astype(np.int64)
        yield chunk


def schema_of(dataset: TokenizedDataset) -> dict:
    """The model zoo's schema.json of the dataset's record file (an empty shape is a single value)."""
    tokens = {"type": "int64", "rank": 1, "shape": [dataset.max_seq_length]}
    columns = {name: dict(tokens) for name in TOKEN_COLUMNS}
    if dataset.labels is not None:
        kind = "float32" if dataset.labels.dtype.kind == "f" else "int64"
        shape = list(dataset.labels_of(np.arange(1), dataset.max_seq_length).shape[1:])
        columns[LABEL_COLUMN] = {"type": kind, "rank": len(shape), "shape": shape}
        if not dataset.labeled.all():
            columns[MASK_COLUMN] = {"type": "int64", "rank": 0, "shape": []}
    return {"datasetType": "TF", "numRows": dataset.rows, "columns": columns}


def read_records(
    paths: str | Path, dataset_type: str = "tfrecord", schema: str = "", split: str | None = None
) -> TokenizedDataset:
    """Read record files into memory.

    paths   a file, a comma-separated list of files, or a folder, from which `split` ("train", ...) is read
    schema  path of a schema.json; empty: the one in the folder of the files, if any
    Raises UserError for files that are missing (without `split`: also those of a folder's manifest),
    truncated, damaged (they differ from their digest in the manifest), of the other dataset_type, without a
    required column, of different lengths, prepared with different tokenizers or labels, or that contradict
    the schema.
    """
    files = record_files(paths, dataset_type, split)
    schema_file = _schema_file(schema, files[0])
    manifest_files = {path.parent: path.with_name(MANIFEST_FILE) for path in files}
    manifests = {
        folder: read_object(file, MANIFEST, PREPARE_AGAIN)
        for folder, file in manifest_files.items()
        if file.is_file()
    }
    _check_manifests(manifests)
    expected_rows = {
        folder / entry["file"]: entry["rows"]
        for folder, manifest in manifests.items()
        for entry in manifest.get("files", {}).values()
    }
    folders = set() if split else {path for path in map(Path, split_paths(paths)) if path.is_dir()}
    absent = next((path for path in expected_rows if path.parent in folders and not is_file(path)), None)
    if absent:
        raise UserError(
            f"record file {absent} does not exist, but {absent.with_name(MANIFEST_FILE)} lists it; copy it "
            f"there, or {PREPARE_AGAIN}"
        )
    digests = {
        folder / name: digest
        for folder, manifest in manifests.items()
        for entry in manifest.get("files", {}).values()
        for name, digest in entry.get("sha256", {}).items()
    }
    datasets = [read_file(path, dataset_type, expected_rows.get(path), digests) for path in files]
    _check_compatible(files, datasets)
    dataset = TokenizedDataset.joined(datasets)
    dataset.manifest = next(iter(manifests.values()), None)
    if schema_file is not None:
        _check_schema(schema_file, dataset, set(expected_rows.values()))
    return dataset


class LabelForm(NamedTuple):
    """Label layout of an output mode in a batch: NumPy dtype.kind and number of dimensions.

    `validate` is a function of (labels of the labeled rows, task) that returns an error description or None.
    """

    name: str
    kind: str
    dimensions: int
    validate: Callable[[np.ndarray, TaskSpec], str | None]


def _class_index_error(labels: np.ndarray, task: TaskSpec) -> str | None:
    if 0 <= labels.min() <= labels.max() < len(task.labels):
        return None
    return f"labels from {labels.min()} to {labels.max()}, but {task.name} has {len(task.labels)} classes"


def _multi_hot_error(labels: np.ndarray, task: TaskSpec) -> str | None:
    if labels.shape[1] == len(task.labels):
        return _score_error(labels, task)
    return f"{labels.shape[1]} labels per row, but {task.name} has {len(task.labels)}"


def _tag_error(labels: np.ndarray, task: TaskSpec) -> str | None:
    tags = labels[labels != IGNORE_INDEX]
    return _class_index_error(tags, task) if tags.size else "no label other than padding"


def _score_error(labels: np.ndarray, task: TaskSpec) -> str | None:
    return None if np.isfinite(labels).all() else "labels that are not finite"


LABEL_FORMS = {
    "classification": LabelForm("class indices", "i", 1, _class_index_error),
    "multi_label": LabelForm("multi-hot labels", "f", 2, _multi_hot_error),
    "regression": LabelForm("scores", "f", 1, _score_error),
    "token_classification": LabelForm("token labels", "i", 2, _tag_error),
}


def _check_form(dataset: TokenizedDataset, labels: np.ndarray, task: TaskSpec, source: str | Path) -> None:
    form = for_mode(LABEL_FORMS, task.output_mode, "label format")
    layout = labels.dtype.kind, 2 if dataset.labels_by_token else labels.ndim
    if layout != (form.kind, form.dimensions):
        found = (form.name for form in LABEL_FORMS.values() if layout == (form.kind, form.dimensions))
        raise UserError(
            f"{source} holds {next(found, 'other labels')}, but {task.name} is a {task.output_mode} task"
        )
    labels = labels if dataset.labels_by_token else labels[dataset.labeled]
    error = form.validate(labels, task) if len(labels) else None
    if error:
        raise UserError(f"{source} holds {error}")


def check_labels(dataset: TokenizedDataset, task: TaskSpec, source: str | Path) -> None:
    """Raise UserError for a dataset (read from `source`) with other labels than those of `task`."""
    if dataset.labels is not None:
        _check_form(dataset, dataset.labels, task, source)
    elif task.output_mode == "token_classification":
        # Even a teacher's outputs count for labeled tokens alone.
        raise UserError(f"{source} holds no labels, which a {task.output_mode} task ({task.name}) needs")
    manifest = dataset.manifest or {}
    prepared_for, names = manifest.get("task"), manifest.get("labels")
    if names is not None and list(task.labels) != names:
        raise UserError(
            f"{source} was prepared for {prepared_for} with the labels "
            f"{', '.join(names) or 'of a score'}, not for {task.name} with "
            f"{', '.join(task.labels) or 'a score'}"
        )
    # Several tasks have the labels 0 and 1; the name of a custom task may be that of its file.
    if prepared_for != task.name and {prepared_for, task.name} <= set(TASKS):
        raise UserError(
            f"{source} was prepared for {prepared_for}, not for {task.name}; give --task_name {prepared_for}"
        )


def _schema_file(schema: str, first_file: Path) -> Path | None:
    if not schema:
        default = first_file.with_name(SCHEMA_FILE)
        return default if default.is_file() else None
    path = Path(schema)
    return path / SCHEMA_FILE if path.is_dir() else path


def _check_manifests(manifests: Mapping[Path, dict]) -> None:
    """Raise UserError for manifests {folder: manifest} with different tokenizers or labels."""
    for key, differ in (("tokenizer", differing_setting), ("labels", operator.ne)):
        known = [(folder, manifest[key]) for folder, manifest in manifests.items() if key in manifest]
        for folder, value in known[1:]:
            if differ(value, known[0][1]):
                raise UserError(
                    f"the records in {known[0][0]} and in {folder} do not have the same {key}; "
                    "prepare them with the same settings to read them together"
                )


def _check_compatible(files: Sequence[Path], datasets: Sequence[TokenizedDataset]) -> None:
    if len({dataset.max_seq_length for dataset in datasets}) > 1:
        lengths = (f"{path.name} {part.max_seq_length}" for path, part in zip(files, datasets, strict=True))
        raise UserError(f"the record files have rows of different lengths: {', '.join(lengths)}")
    kinds = {
        None if d.labels is None else (d.labels.dtype, d.labels.shape[1:], d.labels_by_token)
        for d in datasets
    }
    if not any(dataset.labels_by_token for dataset in datasets):
        kinds.discard(None)  # joined, these rows are marked as rows without a label
    if len(kinds) > 1:
        names = ", ".join(path.name for path in files)
        raise UserError(f"the record files differ in the kind of their {LABEL_COLUMN}: {names}")


def _check_schema(path: Path, dataset: TokenizedDataset, expected_rows: set[int]) -> None:
    """Compare a schema.json with the rows: a wrong shape is an error, a wrong numRows a warning."""
    length = dataset.max_seq_length
    schema = read_object(path, SCHEMA, "give the schema.json of the records, or none")
    for name in TOKEN_COLUMNS:
        shape = schema["columns"].get(name, {}).get("shape", [length])
        if shape != [length]:
            raise UserError(f"{path} gives {name} the shape {shape}, but each row holds {length} values")
    # A prepared folder has one schema for all its files: numRows may be that of another one.
    if schema.get("numRows", dataset.rows) not in {dataset.rows} | expected_rows:
        LOG.warning(
            "%s: numRows is %s, but there are %d rows; all are read", path, schema["numRows"], dataset.rows
        )
