"""The task of records: a custom task is read from their manifest, so that later stages need no flags."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...json_reader import read_json
from ...tasks import TaskSpec, find_task, task_key
from .custom import CustomTask

MANIFEST_FILE, MANIFEST_KEY = "manifest.json", "own_task"


def task_for(known: Mapping[str, Any]) -> TaskSpec:
    """The TaskSpec of flags {name: value}: GLUE's for task_name, or the custom task of the records.

    The records are those of train_data_dir and eval_data_dir. Raises UserError for an unknown task_name,
    and for one that contradicts the records.
    """
    name = known.get("task_name", "")
    paths = [path for flag in ("train_data_dir", "eval_data_dir") if (path := known.get(flag))]
    place = next((folder for folder in map(_folder_of, paths) if _carried(folder)), None)
    if place is None:
        if not name:
            _refuse_unnamed(paths)
        return find_task(name)
    task = spec_of(_carried(place), place / MANIFEST_FILE)
    if name and task_key(name) != task_key(task.name):
        raise UserError(
            f"--task_name {name} contradicts the records in {place}, which are of {task.name}; remove it"
        )
    return task


def spec_of(carried: Any, source: object) -> TaskSpec:
    """The TaskSpec of a manifest's task entry. Raises UserError that names `source` if it is damaged."""
    try:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in carried.items()
        }
        return CustomTask(**values).spec()
    except (AttributeError, KeyError, TypeError, IndexError):
        raise UserError(f"{source}: {MANIFEST_KEY} is damaged; prepare the records again") from None


def _refuse_unnamed(paths: Sequence[str | Path]) -> None:
    """Raise UserError: neither the flags nor the records name a task."""
    absent = next((path for path in paths if not _first(path).exists()), None)
    if absent:
        raise UserError(f"records {absent} do not exist; give a folder written by prepare")
    raise UserError(
        "--task_name is required: a GLUE task, or sample; only records of a custom task specify it themselves"
    )


def _first(path: str | Path) -> Path:
    # A data flag is a file, a comma-separated list of files, or a folder.
    return Path(str(path).split(",")[0].strip())


def _folder_of(path: str | Path) -> Path:
    first = _first(path)
    return first if first.is_dir() else first.parent


def _carried(folder: Path) -> Any:
    file = folder / MANIFEST_FILE
    manifest = read_json(file) if file.is_file() else None
    return manifest.get(MANIFEST_KEY) if isinstance(manifest, dict) else None
