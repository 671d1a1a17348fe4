"""The teacher caches of a folder: what is there, and freeing it."""

import os
import re
from pathlib import Path

from ...distill.teacher_cache import KEY_LETTERS, LOCK, MANIFEST, WRITTEN, locked
from ...errors import UserError, did_you_mean
from ...files import read_json
from ...output_dir import delete_matching, first_foreign

NAME = re.compile(rf"^\.?([0-9a-f]{{{KEY_LETTERS}}})(\.part)?$")


def manage_caches(config):
    """Print a line for each cache of `config.teacher_cache_dir`, or delete what `config.delete` names."""
    root = Path(config.teacher_cache_dir)
    found = caches_in(root)
    if config.delete and config.list:
        raise UserError("--list and --delete are two different wishes; give one")
    if config.delete:
        delete_caches(root, found, config.delete)
        return
    for folder in found:
        print(describe(folder))
    print(f"{root}: {len(found)} caches, {sum(map(size_of, found)) / 1e9:.3g} GB")


def caches_in(root):
    """The folders of caches in `root`, finished or not; nothing else that lies there is ever touched."""
    if not root.is_dir():
        return []
    named = (path for path in root.iterdir() if NAME.match(path.name))
    return sorted(path for path in named if path.is_dir() and not path.is_symlink())


def key_in(folder):
    """The key that a cache's folder is named by."""
    return NAME.match(folder.name)[1]


def size_of(folder):
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def describe(folder):
    """One line: key, size, what of which teacher over which rows; or that it is incomplete."""
    start = f"{key_in(folder)}  {size_of(folder) / 1e9:8.3f} GB  "
    if folder.name.endswith(".part"):
        state = "being written by a run" if in_the_making(folder) else "left by a run that broke off"
        return f"{start}incomplete, {state}"
    try:
        manifest = read_json(folder / MANIFEST)
        notes = ", ".join(f"{name} {value}" for name, value in manifest["notes"].items())
        return f"{start}{manifest['rows']} rows, {notes}"
    except (UserError, KeyError, TypeError, AttributeError):
        return f"{start}damaged: its {MANIFEST} cannot be read"


def in_the_making(folder):
    """Whether a process writes the cache now."""
    if not (folder / LOCK).is_file():
        return False
    try:
        os.close(locked(folder))
    except BlockingIOError:
        return True
    return False


def delete_caches(root, found, wish):
    """Delete the cache of the key `wish`, or all. UserError: no such key, or one being written."""
    chosen = [folder for folder in found if wish in ("all", key_in(folder))]
    if not chosen and wish != "all":
        near = did_you_mean(wish, {key_in(folder) for folder in found})
        raise UserError(f"--delete {wish}: there is no such cache in {root}{near}")
    busy = [key_in(folder) for folder in chosen if folder.name.endswith(".part") and in_the_making(folder)]
    if busy:
        raise UserError(f"--delete {wish}: a run is writing {busy[0]}; stop it, or delete others")
    for folder in chosen:
        foreign = first_foreign(folder, WRITTEN)
        if foreign:
            raise UserError(
                f"--delete {wish}: {folder} holds {foreign}, which is of no cache, so nothing is "
                "deleted; move that away"
            )
    freed = sum(map(size_of, chosen))
    for folder in chosen:
        # The manifest goes first: what is half deleted is no cache.
        (folder / MANIFEST).unlink(missing_ok=True)
        delete_matching(folder, WRITTEN)
        folder.rmdir()
    print(f"deleted {len(chosen)} caches, {freed / 1e9:.3g} GB freed")
