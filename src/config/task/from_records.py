"""The task that records are of; one of your own stands in their manifest: later stages are told of none."""

from pathlib import Path

from ...errors import UserError
from ...files import read_json
from ...tasks import find_task, task_key
from .custom import CustomTask

MANIFEST_FILE, MANIFEST_KEY = "manifest.json", "own_task"


def task_for(known):
    """The TaskSpec that flags {name: value} mean: GLUE's of task_name, or that which their records carry.

    Looked at are train_data_dir and eval_data_dir. Raises UserError for an unknown task_name, and for one
    that is not that of the records.
    """
    name = known.get("task_name", "")
    paths = [known.get(flag) for flag in ("train_data_dir", "eval_data_dir")]
    place = next((folder for folder in map(_folder_of, filter(None, paths)) if _carried(folder)), None)
    if place is None:
        if not name:
            _refuse_unnamed(paths)
        return find_task(name)
    task = spec_of(_carried(place), place / MANIFEST_FILE)
    if name and task_key(name) != task_key(task.name):
        raise UserError(
            f"--task_name {name} contradicts the records in {place}, which are of {task.name}; leave it out"
        )
    return task


def spec_of(carried, source):
    """The TaskSpec of what a manifest carries; `source` is its path. Raises UserError for anything else."""
    try:
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in carried.items()}
        return CustomTask(**values).spec()
    except (AttributeError, KeyError, TypeError, IndexError):
        raise UserError(f"{source}: {MANIFEST_KEY} is damaged; prepare the records again") from None


def _refuse_unnamed(paths):
    """Raise the UserError of records that were to name their task, and do not."""
    absent = next((path for path in filter(None, paths) if not _first(path).exists()), None)
    if absent:
        raise UserError(f"records {absent} do not exist; give the folder that prepare wrote")
    raise UserError(
        "--task_name is required: a GLUE task, or sample; only records of a task of your own "
        "name it themselves"
    )


def _first(path):
    # A data flag is a file, a comma list of files, or a folder.
    return Path(str(path).split(",")[0].strip())


def _folder_of(path):
    first = _first(path)
    return first if first.is_dir() else first.parent


def _carried(folder):
    file = folder / MANIFEST_FILE
    manifest = read_json(file) if file.is_file() else None
    return manifest.get(MANIFEST_KEY) if isinstance(manifest, dict) else None
