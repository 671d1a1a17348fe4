"""Files written whole or not at all, and read with a sentence when they are broken. Standard library only."""

import contextlib
import fnmatch
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from .errors import UserError, is_no_room

# The mark of a folder that this project made. It lists what belongs to the project in there, as patterns of
# relative paths: --overwrite_output_dir deletes that and nothing else.
MARK = ".bert_compression.json"
# What atomic_path and atomic_directory leave behind when they are killed; the lasting name is in the middle.
LEFT_BEHIND = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.(?:part|old)")


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
def atomic_directory(path, discard=None):
    """Yield a temporary folder beside the Path `path`; on success it is synced and takes the place of `path`.

    On any error the temporary folder is removed, and what was there before is there again. `discard(folder)`
    deletes what was replaced; without it all of that is deleted, so `path` has to be the project's own.
    Raises UserError for a mount point, whose place nothing can take, and when there is no room on the disk.
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
        elif discard and old.exists():
            discard(old)
        else:
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
    is not empty while `overwrite` is off, or holds anything that this project did not make.
    """
    path = Path(path)
    check_folder(path)
    if is_unused(path):
        return
    for needed in (path for text in filter(None, inputs) for path in (str(text), *listed_paths(text))):
        if path.resolve() in (Path(needed).resolve(), *Path(needed).resolve().parents):
            raise UserError(f"output_dir {path} holds {needed}, which this run reads; give another folder")
    if not overwrite:
        raise UserError(
            f"output_dir {path} is not empty; give another folder, or --overwrite_output_dir "
            "to delete what an earlier run wrote there"
        )
    _refuse_precious(path)
    _refuse_foreign(path)


def fresh_output_dir(path, overwrite=False, inputs=(), written=()):
    """Create the folder `path` for results, empty but for its mark. Raises UserError as `check_output_dir`.

    `written` are the patterns of all that will be written there: a run that is killed at any moment has to
    leave a folder which the next one may overwrite.
    """
    path = Path(path)
    check_output_dir(path, overwrite, inputs)
    path.mkdir(parents=True, exist_ok=True)
    if overwrite:  # the folder itself stays: it may be a link, or where a disk is mounted
        delete_written(path, marked(path) or ())
    write_mark(path, written)
    return path


@contextlib.contextmanager
def output_directory(path, overwrite=False, inputs=(), written=()):
    """As `fresh_output_dir`, for a folder that is written whole or not at all: yields a temporary one."""
    check_output_dir(path, overwrite, inputs)
    with atomic_directory(Path(path).resolve(), delete_marked) as folder:  # resolved: a link stays a link
        write_mark(folder, written)
        yield folder
        check_output_dir(path, overwrite, inputs)  # another program may have filled it meanwhile


def is_unused(path):
    """Whether there is no folder `path`, or nothing in it but the mark of a run that wrote nothing else."""
    return not path.is_dir() or all(
        _lasting_name(entry.name) == MARK and entry.is_file() and not entry.is_symlink()
        for entry in path.iterdir()
    )


def write_mark(folder, written):
    """Mark a folder as this project's, with patterns of what it writes there: `log.txt`, `best/*.json` ..."""
    write_json(Path(folder) / MARK, {"made_by": "bert compression", "written": list(written)})


def add_to_mark(folder, names):
    """Note that the files `names`, in a folder that may hold anyone's others, are going to be ours."""
    known = marked(folder) or []
    write_mark(folder, [*known, *(name for name in names if name not in known)])


def marked(folder):
    """The patterns in the mark of a folder; None without one, or with one that this project did not write."""
    mark = Path(folder) / MARK
    if mark.is_symlink() or not mark.is_file():
        return None
    try:
        found = read_json(mark)
    except UserError:
        return None
    written = found.get("written") if isinstance(found, dict) else None
    return written if isinstance(written, list) and all(map(_is_pattern, written)) else None


def _is_pattern(text):
    # Nothing outside of the folder, and not simply everything in it.
    parts = text.split("/") if isinstance(text, str) else [""]
    return not {"", ".", ".."} & set(parts) and bool(parts[0].strip("*?[!]"))


def first_foreign(folder, written):
    """The relative path of the uppermost entry below a folder that no pattern in `written` names.

    None where there is none, or no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return None
    foreign = (path for path in _below(folder) if not _is_written(path, folder, written))
    found = min(foreign, key=lambda path: (len(path.parts), path), default=None)
    return found and found.relative_to(folder)


def delete_written(folder, written):
    """Delete what `written` names below a folder; all else stays, the mark and the folders around it too."""
    folder = Path(folder)
    for path in _below(folder):
        if not _is_written(path, folder, written):
            continue
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            with contextlib.suppress(OSError):  # it holds something else
                path.rmdir()


def delete_marked(folder):
    """Delete what the mark of a folder names; when nothing else is in it, the mark and the folder too."""
    folder = Path(folder)
    delete_written(folder, marked(folder) or ())
    if not is_unused(folder):
        return
    for entry in folder.iterdir():
        entry.unlink()
    with contextlib.suppress(OSError):  # where a disk is mounted the folder stays
        if folder.is_symlink():
            folder.unlink()
        else:
            folder.rmdir()


def _below(folder):
    """All paths below a folder, the contents of each folder before the folder; links are not followed."""

    def refuse(error):
        raise error

    for place, folders, files in os.walk(folder, topdown=False, onerror=refuse):
        yield from (Path(place) / name for name in (*files, *folders))


def _is_written(path, folder, written):
    parts = [_lasting_name(part) for part in path.relative_to(folder).parts]
    is_link = path.is_symlink()
    is_folder = path.is_dir() and not is_link
    for pattern in written:
        names = pattern.split("/")
        # A folder is named as the way to what it holds; a link may have taken the place of either.
        on_the_way, at_the_end = len(parts) < len(names), len(parts) == len(names)
        fits = (on_the_way and (is_folder or is_link)) or (at_the_end and not is_folder)
        if fits and all(map(fnmatch.fnmatchcase, parts, names)):
            return True
    return False


def _lasting_name(name):
    found = LEFT_BEHIND.fullmatch(name)
    return found[1] if found else name


def _refuse_precious(path):
    # --overwrite_output_dir deletes: never a home, a root, or a checkout (this project among them).
    resolved = path.resolve()
    if (
        resolved in (Path(os.path.expanduser("~")).resolve(), Path(resolved.anchor))
        or resolved.name == ".git"
        or (resolved / ".git").exists()
        or resolved in Path.cwd().resolve().parents
        or resolved == Path.cwd().resolve()
    ):
        raise UserError(f"output_dir {path} is not a folder that can be deleted; give one of its own")


def _refuse_foreign(path):
    written = marked(path)
    if written is None:
        raise UserError(
            f"output_dir {path} bears no mark ({MARK}) of a run that made it, so nothing in it is deleted; "
            "give another folder, or delete it by hand"
        )
    foreign = first_foreign(path, [*written, MARK])
    if foreign:
        raise UserError(
            f"output_dir {path} holds {foreign}, which no run of this program wrote, so nothing in it is "
            "deleted; give another folder, or move that away"
        )
