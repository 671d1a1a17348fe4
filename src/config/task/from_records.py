"""The task of records: a custom task is read from their manifest, so that later stages need no flags."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import split_paths
from ...json_reader import check_structure, read_object
from ...tasks import ASSESSMENTS, TASKS, TaskSpec, find_task, for_mode, task_key
from .custom import FIELDS, MANIFEST_FIELDS, CustomTask
from .validation import CHECKS, METRICS_OF, label_error

READY = "records"  # name of a task that only flags describe
TASK_TYPES = {"classification": "classification", "ner": "token_classification"}  # the model zoo's: ours
TOKEN_METRICS = ("token_accuracy", "token_f1")
MANIFEST_FILE, MANIFEST_KEY = "manifest.json", "own_task"
PREPARE_AGAIN = "prepare the records again"
# What stages read of a manifest, as a structure of json_reader.
MANIFEST = {
    "files?": {str: {"file": str, "rows": int, "rows_without_label?": int, "sha256?": {str: str}}},
    "task?": str,
    "labels?": [str],
    "tokenizer?": dict,
}


def task_for(known: Mapping[str, Any]) -> TaskSpec:
    """The TaskSpec of flags {name: value}: GLUE's for task_name, or the task of the records.

    The records are those of train_data_dir and eval_data_dir. Raises UserError for an unknown task_name,
    and for one that contradicts the records.
    """
    task = _described_task(known)
    method = known.get("assessment_method")
    return _assessed(task, method) if method else task


def training_rows(known: Mapping[str, Any]) -> float:
    """Labeled training rows of flags {name: value}, by the manifests of train_data_dir; infinity without."""
    paths, limit = split_paths(known.get("train_data_dir") or ""), known.get("max_rows", -1)
    rows = sum(_labeled_rows(Path(path)) for path in paths) if paths else math.inf
    return min(rows, limit) if limit >= 0 else rows


def _labeled_rows(path: Path) -> float:
    files = _manifest(path if path.is_dir() else path.parent).get("files", {})
    named = (entry for entry in files.values() if entry["file"] == path.name)
    entry = files.get("train") if path.is_dir() else next(named, None)
    return entry["rows"] - entry.get("rows_without_label", 0) if entry else math.inf


def _described_task(known: Mapping[str, Any]) -> TaskSpec:
    """The TaskSpec without --assessment_method: named, of the records, or described by flags."""
    name = known.get("task_name", "")
    paths = [path for flag in ("train_data_dir", "eval_data_dir") if (path := known.get(flag))]
    folders = list(map(_folder_of, paths))
    place = next((folder for folder in folders if MANIFEST_KEY in _manifest(folder)), None)
    if place is None and not name:
        named = (_manifest(folder).get("task", "") for folder in folders)
        name = next((each for each in named if task_key(each) in map(task_key, TASKS)), "")
    if place is None and task_key(name) not in map(task_key, TASKS) and _has_description(known):
        return _ready_task(known, name)
    if place is None:
        if not name:
            _refuse_unnamed(paths)
        return _check_description(find_task(name), known)
    task = _check_description(spec_of(_manifest(place)[MANIFEST_KEY], place / MANIFEST_FILE), known)
    if name and task_key(name) != task_key(task.name):
        raise UserError(
            f"--task_name {name} contradicts the records in {place}, which are of {task.name}; remove it"
        )
    return task


def _has_description(known: Mapping[str, Any]) -> bool:
    """Whether flags describe the labels of records without a manifest."""
    return bool(known.get("labels") or known.get("num_labels")) or known.get("output_mode") == "regression"


def _mode_of(known: Mapping[str, Any]) -> str:
    """The output mode in flags, "" without one. Raises UserError where task_type and output_mode differ."""
    mode, theirs = known.get("output_mode", ""), known.get("task_type", "")
    if mode and theirs and TASK_TYPES[theirs] != mode:
        raise UserError(
            f"--task_type {theirs} is output_mode {TASK_TYPES[theirs]}, not {mode}; give one of them"
        )
    return mode or (TASK_TYPES[theirs] if theirs else "")


def _labels_of(known: Mapping[str, Any]) -> tuple[str, ...]:
    labels, count = tuple(known.get("labels", ())), known.get("num_labels", 0)
    if labels and count not in (0, len(labels)):
        raise UserError(f"--num_labels {count}, but --labels lists {len(labels)}; give one of them")
    return labels or tuple(f"LABEL_{index}" for index in range(count))


def _ready_task(known: Mapping[str, Any], name: str) -> TaskSpec:
    """The TaskSpec of records without a manifest, such as the model zoo's, from flags."""
    mode = _mode_of(known) or "classification"
    labels = () if mode == "regression" else _labels_of(known)
    named = bool(known.get("labels"))
    task = CustomTask(task_name=name or READY, text_columns=("text",), output_mode=mode)
    if named and (error := label_error(task, labels)):
        raise UserError(f"--labels: {error}")
    if mode != "regression" and len(labels) < 2:
        raise UserError("--num_labels 1: at least two are required; a score is --output_mode regression")
    spec = dataclasses.replace(task, labels=labels).spec()
    return spec if named or mode != "token_classification" else _numbered(spec, labels)


def _numbered(task: TaskSpec, labels: tuple[str, ...]) -> TaskSpec:
    """A token classification whose tags have no names: its metrics count tokens, not entities."""
    return dataclasses.replace(task, labels=labels, metrics=TOKEN_METRICS, best_metric=TOKEN_METRICS[0])


def _check_description(task: TaskSpec, known: Mapping[str, Any]) -> TaskSpec:
    """`task` if the flags that describe records do not contradict it, else a UserError.

    Tags of another number, of one of the model zoo's schemes, are taken without names.
    """
    mode, labels = _mode_of(known), _labels_of(known)
    if mode and mode != task.output_mode:
        raise UserError(
            f"{task.name} is a {task.output_mode} task, not {mode}; remove --task_type or --output_mode"
        )
    if known.get("labels") and labels != task.labels:
        raise UserError(
            f"--labels contradicts {task.name}, whose labels are {', '.join(task.labels)}; remove it"
        )
    count = len(task.labels) or 1
    if labels and len(labels) != count:
        if task.output_mode == "token_classification":
            return _numbered(task, labels)
        raise UserError(f"--num_labels {len(labels)} contradicts {task.name}, which has {count}; remove it")
    return task


def _assessed(task: TaskSpec, method: str) -> TaskSpec:
    """`task` whose best model is selected by the model zoo's `method`, also the first metric reported."""
    metric = for_mode(ASSESSMENTS[method], task.output_mode, f"assessment_method {method}")
    if metric == "f1" and len(task.labels) != 2:
        raise UserError(f"assessment_method {method} requires two labels, {task.name} has {len(task.labels)}")
    others = tuple(name for name in task.metrics if name != metric)
    return dataclasses.replace(task, metrics=(metric, *others), best_metric=metric)


def spec_of(carried: Any, source: object) -> TaskSpec:
    """The TaskSpec of a manifest's task entry. Raises UserError that names `source` if it is damaged."""
    kinds = {name: type(FIELDS[name].default) for name in MANIFEST_FIELDS}
    structure = {f"{name}?": [str] if kind is tuple else kind for name, kind in kinds.items()}
    check_structure({MANIFEST_KEY: carried}, {MANIFEST_KEY: structure}, str(source), PREPARE_AGAIN)
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in carried.items()
    }
    task = CustomTask(**{name: value for name, value in values.items() if name in MANIFEST_FIELDS})
    if task.output_mode not in METRICS_OF:
        raise UserError(f"{source}: output_mode {task.output_mode} is unknown; {PREPARE_AGAIN}")
    for key in MANIFEST_FIELDS:
        error = CHECKS[key](task, {}) if key in CHECKS else None
        if error:
            raise UserError(f"{source}: {error}; {PREPARE_AGAIN}")
    return task.spec()


def _refuse_unnamed(paths: Sequence[str | Path]) -> None:
    """Raise UserError: neither the flags nor the records name a task."""
    absent = next((path for path in paths if not _first(path).exists()), None)
    if absent:
        raise UserError(f"records {absent} do not exist; give a folder written by prepare")
    raise UserError("--task_name is required: a GLUE task, or sample; records of prepare name it themselves")


def _first(path: str | Path) -> Path:
    # A data flag is a file, a comma-separated list of files, or a folder.
    return Path(next(iter(split_paths(path)), ""))


def _folder_of(path: str | Path) -> Path:
    first = _first(path)
    return first if first.is_dir() else first.parent


def _manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST_FILE
    return read_object(file, MANIFEST, PREPARE_AGAIN) if file.is_file() else {}
