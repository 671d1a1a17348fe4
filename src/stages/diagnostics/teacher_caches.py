"""List and delete the teacher caches of a folder."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ...distill.teacher_cache import KEY_LETTERS, MANIFEST, WRITTEN, megabytes
from ...distill.teacher_cache import delete_caches as delete_folders
from ...errors import UserError, did_you_mean
from ...files import locked
from ...json_reader import read_json
from ...output_dir import first_foreign

if TYPE_CHECKING:
    from ...tools.cache import CacheConfig

NAME = re.compile(rf"^\.?([0-9a-f]{{{KEY_LETTERS}}})(\.part)?$")


def manage_caches(config: "CacheConfig") -> None:
    """Print a line for each cache of `config.teacher_cache_dir`, or delete those of `config.delete`."""
    root = Path(config.teacher_cache_dir)
    caches = list_caches(root)
    if config.delete and config.list:
        raise UserError("--list and --delete are mutually exclusive")
    if config.delete:
        delete_caches(root, caches, config.delete)
        return
    for folder in caches:
        print(describe(folder))
    print(f"{root}: {len(caches)} caches, {megabytes(sum(map(size_of, caches)))}")


def list_caches(root: Path) -> list[Path]:
    """The cache folders in `root`, finished or not; other files and folders there are never touched."""
    if not root.is_dir():
        return []
    named = (path for path in root.iterdir() if NAME.match(path.name))
    return sorted(path for path in named if path.is_dir() and not path.is_symlink())


def key_of(folder: Path) -> str:
    """The key in the name of a cache's folder."""
    return NAME.sub(r"\1", folder.name)


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def describe(folder: Path) -> str:
    """One line: key, size, rows, contents and teacher of a cache, or that it is incomplete."""
    start = f"{key_of(folder)}  {megabytes(size_of(folder)):>12}  "
    if folder.name.endswith(".part"):
        state = "being written by a run" if is_being_written(folder) else "left by an aborted run"
        return f"{start}incomplete, {state}"
    try:
        manifest = read_json(folder / MANIFEST)
        notes = ", ".join(f"{name} {value}" for name, value in manifest["notes"].items())
        return f"{start}{manifest['rows']} rows, {notes}"
    except (UserError, KeyError, TypeError, AttributeError):
        return f"{start}damaged: its {MANIFEST} cannot be read"


def is_being_written(folder: Path) -> bool:
    """Whether a process is writing the cache."""
    try:
        with locked(folder):
            return False
    except BlockingIOError:
        return True


def delete_caches(root: Path, caches: list[Path], key: str) -> None:
    """Delete the cache of `key`, or all. UserError for an unknown key or a cache being written."""
    selected = [folder for folder in caches if key in ("all", key_of(folder))]
    if not selected and key != "all":
        near = did_you_mean(key, {key_of(folder) for folder in caches})
        raise UserError(f"--delete {key}: no such cache in {root}{near}")
    busy = [
        key_of(folder) for folder in selected if folder.name.endswith(".part") and is_being_written(folder)
    ]
    if busy:
        raise UserError(f"--delete {key}: a run is writing {busy[0]}; stop it, or delete others")
    for folder in selected:
        foreign = first_foreign(folder, WRITTEN)
        if foreign:
            raise UserError(
                f"--delete {key}: {folder} holds {foreign}, which is not part of a cache, so nothing was "
                "deleted; move it away"
            )
    freed = delete_folders(selected)
    print(f"deleted {len(selected)} caches, {megabytes(freed)} freed")
