"""Atomic file writes, checks before reading, checksums. Standard library only."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import UserError, is_disk_full, reason_of
from .signals import interruptible

# What a killed atomic_path or atomic_directory leaves behind; group 1 is the final name.
TEMPORARY_NAME = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.(?:part|old)")
BLOCK = 1 << 20  # bytes
DAMAGED = "it is truncated or damaged: download or write it again"
FILE_TYPES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it is synced and renamed to `path`.

    Readers see the old file or the new one, never a partial one. On any error the temporary file is removed.
    Raises UserError when the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with interruptible():
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            with _disk_full_as_user_error(path):
                yield temporary
                os.chmod(temporary, 0o666 & ~_umask())
                _sync(temporary)
                os.replace(temporary, path)
                _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: Path, discard: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Yield a temporary folder next to `path`; on success it is synced and replaces `path`.

    On any error the temporary folder is removed and the previous folder restored. `discard(folder)` deletes
    the replaced folder; by default all of it is deleted, so `path` has to belong to this project.
    Raises UserError for a mount point, which cannot be replaced, and when the disk is full.
    """
    if os.path.ismount(path):
        raise UserError(f"{path} is a mount point, which cannot be replaced; give a folder inside it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with interruptible():
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        old = temporary.with_suffix(".old")
        try:
            with _disk_full_as_user_error(path):
                yield temporary
                mask = _umask()
                for file in temporary.iterdir():
                    file.chmod(0o666 & ~mask)  # weight writers create files that only their owner can read
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
def _disk_full_as_user_error(path: Path) -> Iterator[None]:
    """Turn a library's own exception for a full disk into a UserError."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        raise UserError(
            f"{path} could not be written: no space left on the disk; any previous version is unchanged"
        ) from None


def final_name(name: str) -> str:
    """The name that a temporary file or folder was going to get; any other name as it is."""
    match = TEMPORARY_NAME.fullmatch(name)
    return match[1] if match else name


def _umask() -> int:
    # The only portable way to read the umask is to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def check_regular(path: str | Path) -> None:
    """Raise UserError unless `path` is a regular file: opening a FIFO waits, and a device may never end."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None
    if not stat.S_ISREG(mode):
        kind = FILE_TYPES.get(stat.S_IFMT(mode), "not a file")
        raise UserError(f"{path} is {kind}; give a regular file")


@contextlib.contextmanager
def reading(path: str | Path, kind: str, advice: str = DAMAGED) -> Iterator[None]:
    """Turn whatever a parser raises for a damaged file into a UserError with the file's name.

    `kind` is what the file is read as ("a safetensors file"), `advice` what to do about it. The parser's own
    exception stays the cause, which run_main shows with --traceback.
    """
    try:
        yield
    except (UserError, ImportError):
        raise
    except BaseException as error:
        # Panics of Rust libraries do not derive from Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if isinstance(error, MemoryError):
            raise UserError(f"{path} cannot be read: not enough memory") from error
        raise UserError(f"{path} cannot be read as {kind}: {reason_of(error)}; {advice}") from error


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def split_paths(text: str | Path) -> list[str]:
    """The paths in a comma-separated list; empty entries, as after a trailing comma, are dropped."""
    return [part.strip() for part in str(text).split(",") if part.strip()]


def relative_paths(text: str) -> str:
    """`text` with the paths below the working folder made relative, as log lines show them."""
    # Not inside a longer path that happens to contain that of the working folder.
    return re.sub(rf"(?<![\w./-]){re.escape(os.getcwd())}/(?=[^/\s])", "", text)
