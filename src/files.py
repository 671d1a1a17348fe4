"""Files written whole or not at all, and read with a sentence when they are broken. Standard library only."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from src.errors import UserError, is_no_room


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary path in the folder of `path`; on success it is synced and takes the name `path`.

    A reader sees the old file or the new one, never a part. On any error the temporary file is removed.
    Raises UserError when there is no room on the disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with _room_for(path):
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path):
    """Yield a temporary folder beside the Path `path`; on success it is synced and takes the place of `path`.

    On any error the temporary folder is removed, and what was there before is there again. Raises UserError
    for a mount point, whose place nothing can take, and when there is no room on the disk.
    """
    if os.path.ismount(path):
        raise UserError(f"{path} is a disk of its own, which cannot be replaced; give a folder in it")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    old = temporary.with_suffix(".old")
    try:
        with _room_for(path):
            yield temporary
            mask = _umask()
            for file in temporary.iterdir():
                file.chmod(0o666 & ~mask)  # what writes weights leaves them readable to their owner alone
                _sync(file)
            temporary.chmod(0o777 & ~mask)
            _sync(temporary)
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _room_for(path):
    """Say in a UserError that there was none, whatever a library says of a full disk."""
    try:
        yield
    except Exception as error:
        if not is_no_room(error):
            raise
        raise UserError(
            f"{path} could not be written, there is no room on the disk; what was there before is untouched"
        ) from None


def _umask():
    # The only portable way to read the umask is to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path, text):
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path, value):
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path):
    """Parse a JSON file. Raises UserError that names the file (and the line) when it is absent or broken."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (UnicodeDecodeError, OSError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not valid JSON ({error.msg})") from None


def sha256(path):
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def listed_paths(text):
    """The paths in a comma list, as text; an empty entry, as behind a comma at the end, is none."""
    return [part.strip() for part in str(text).split(",") if part.strip()]


def check_folder(path):
    """Raise UserError where a folder called `path` cannot be made, for there is a file."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"output_dir {path} is a file; give a folder")
    above = next((place for place in path.parents if place.is_file()), None)
    if above:
        raise UserError(f"output_dir {path} is below {above}, which is a file; give another folder")


def check_output_dir(path, overwrite=False, inputs=()):
    """Refuse what `fresh_output_dir` would refuse, before anything is done; touches nothing.

    Raises UserError when it is a file, holds one of the paths in `inputs` (a comma list of them counts too),
    or is not empty while `overwrite` is off.
    """
    path = Path(path)
    check_folder(path)
    if not path.is_dir() or not any(path.iterdir()):
        return
    for needed in (path for text in filter(None, inputs) for path in (str(text), *listed_paths(text))):
        if path.resolve() in (Path(needed).resolve(), *Path(needed).resolve().parents):
            raise UserError(f"output_dir {path} holds {needed}, which this run reads; give another folder")
    if not overwrite:
        raise UserError(
            f"output_dir {path} is not empty; give another folder, or --overwrite_output_dir "
            "to delete what it holds"
        )
    _refuse_precious(path)


def fresh_output_dir(path, overwrite=False, inputs=()):
    """Create the folder `path` for results, empty. Raises UserError as `check_output_dir`."""
    path = Path(path)
    check_output_dir(path, overwrite, inputs)
    path.mkdir(parents=True, exist_ok=True)
    for entry in path.iterdir():  # the folder itself stays: it may be a link, or where a disk is mounted
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return path


def _refuse_precious(path):
    # --overwrite_output_dir deletes: never a home, a root, or a checkout (this project among them).
    resolved = path.resolve()
    if (
        resolved in (Path(os.path.expanduser("~")).resolve(), Path(resolved.anchor))
        or (resolved / ".git").exists()
        or resolved in Path.cwd().resolve().parents
        or resolved == Path.cwd().resolve()
    ):
        raise UserError(f"output_dir {path} is not a folder that can be deleted; give one of its own")
