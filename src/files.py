"""Atomic file writes, checks before reading. Standard library only."""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from .digests import SUMS_FILE, sums_of
from .errors import UserError, WriteError, describe_system_error, reason_of, system_error
from .signals import interruptible

# What a killed atomic_path or atomic_directory leaves behind; group 1 is the final name.
TEMPORARY_NAME = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.(?:part|old)")
MAX_COMMAS = 16  # in the name of a path that is part of a list
DAMAGED = "it is truncated or damaged: download or write it again"
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # fcntl.h, linux/fs.h
# Errors of renameat2 where exchanging is not supported, or is forbidden to a container.
NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)
# Errors of syncing a folder where the file system does not offer it, or the folder may not be listed.
NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)
FILE_TYPES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a path in a temporary folder next to `path`; on success the file is synced and renamed to `path`.

    Readers see the old file or the new one, never a partial one. On any error the temporary folder is
    deleted, and by the next call what a killed process left. Raises WriteError when the system refuses.
    """
    path = Path(path)
    with interruptible(), write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        # A folder: libraries write files of other names, and replace the one they were given.
        with _temporary_folder(path) as folder:
            temporary = folder / path.name
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())
            _sync(temporary)
            os.replace(temporary, path)
        _sync_folder_of(path)


def _delete_folder(path: Path) -> None:
    for _ in range(2):  # again where an error of one file left the others
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def atomic_directory(path: Path, discard: Callable[[Path], None] = _delete_folder) -> Iterator[Path]:
    """Yield a temporary folder next to `path`; on success it gets a SHA256SUMS and takes the place of `path`.

    A link stays a link: the folder that it points to is replaced. On any error `path` stays as it was.
    `discard(folder)` deletes the replaced folder; by default all of it is deleted, so `path` has to belong to
    this project. Raises UserError for a mount point, which cannot be replaced, and WriteError when the system
    refuses.
    """
    target = Path(os.path.realpath(path))
    if os.path.ismount(target):
        raise UserError(f"{path} is a mount point, which cannot be replaced; give a folder inside it")
    with interruptible(), write_errors(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target, discard)
        with _temporary_folder(target, discard) as temporary:
            try:
                yield temporary
            except WriteError as error:  # of a file in the folder: show its final name
                raise WriteError(str(error).replace(str(temporary), str(path))) from error
            (temporary / SUMS_FILE).write_text(sums_of(temporary), "utf-8", "surrogateescape")
            mask = _umask()
            for file in temporary.rglob("*"):
                # Weight writers create files that only their owner can read.
                file.chmod((0o777 if file.is_dir() else 0o666) & ~mask)
                _sync(file)
            temporary.chmod(0o777 & ~mask)
            _sync(temporary)
            _replace_folder(temporary, target)
        _sync_folder_of(target)


@contextlib.contextmanager
def write_errors(path: str | Path) -> Iterator[None]:
    """Turn an OSError of any kind, or what a library raises in its place, into a WriteError with the path."""
    try:
        yield
    except Exception as error:
        refused = None if isinstance(error, UserError) else system_error(error)
        if refused is None:
            raise
        path, other = Path(path), str(refused.filename or path)
        own = other.startswith((str(path), str(path.with_name(f".{path.name}."))))
        raise WriteError(
            f"{path} could not be written: {describe_system_error(refused)}{'' if own else f' ({other})'}; "
            "any previous version is unchanged"
        ) from error


def move_synced(source: Path, target: Path) -> None:
    """Rename a complete file or folder to `target`, once its content is on the disk.

    Raises WriteError when the system refuses.
    """
    with write_errors(target):
        _sync(source)
        os.replace(source, target)
    _sync_folder_of(target)


def remove_leftovers(path: Path, discard: Callable[[Path], None] = _delete_folder) -> None:
    """Delete what killed writers of `path` left next to it, but nothing that a process is writing now.

    A folder that a killed writer had only set aside gets its name `path` back.
    """
    for leftover in leftovers_of(path):
        with contextlib.suppress(OSError), locked(leftover):
            if leftover.is_file():  # of an earlier version
                leftover.unlink()
            elif leftover.suffix == ".part":
                _delete_folder(leftover)
            elif os.path.lexists(path):
                discard(leftover)
            else:
                os.rename(leftover, path)


def set_aside(path: str | Path) -> None:
    """Put an empty folder in place of `path`; remove_leftovers deletes the previous one, or restores it."""
    path = Path(os.path.realpath(path))
    os.rename(path, path.with_name(f".{path.name}.{secrets.token_hex(4)}.old"))
    path.mkdir()


def restore_replaced(path: str | Path) -> None:
    """Give the folder `path` its name back where a killed writer had only set it aside."""
    path = Path(os.path.realpath(path))
    if not os.path.lexists(path):
        remove_leftovers(path, discard=lambda leftover: None)


def leftovers_of(path: Path) -> list[Path]:
    """The temporary and set-aside versions of `path` that its writers have, or that killed ones left."""
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(f".{path.name}.")]
        return [path.with_name(name) for name in sorted(names) if final_name(name) == path.name]
    return []


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file or folder. Raises OSError where its writer has the lock, or nothing can be locked."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if stat.S_IFMT(os.fstat(handle).st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)


@contextlib.contextmanager
def _temporary_folder(path: Path, discard: Callable[[Path], None] = _delete_folder) -> Iterator[Path]:
    """Create a folder next to `path`, locked while it is written and deleted at the end.

    `discard` deletes the folder that it was exchanged with.
    """
    temporary, handle = _create_locked(path)
    written = os.fstat(handle)
    try:
        yield temporary
    finally:
        # The save succeeded or failed before this: what is left here stays for the next one.
        with contextlib.suppress(OSError):
            is_own = os.path.samestat(temporary.stat(), written)
            (_delete_folder if is_own else discard)(temporary)
        with contextlib.suppress(OSError):
            os.close(handle)


def _create_locked(path: Path) -> tuple[Path, int]:
    while True:
        name = tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        try:
            handle = os.open(name, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another process took it for a leftover
        except OSError:
            _delete_folder(Path(name))
            raise
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # another process is taking it for one
        except OSError:
            return Path(name), handle  # a file system without locks
        else:
            if os.path.lexists(name):
                return Path(name), handle
        os.close(handle)


def _replace_folder(source: Path, target: Path) -> None:
    """Rename a folder to `target`; a previous one gets the name of `source`."""
    if not os.path.lexists(target):
        os.rename(source, target)
        return
    if not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
    if _exchange(source, target):
        return
    old = source.with_suffix(".old")
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(locked(target))  # nobody restores it between the two renames
        os.rename(target, old)
        try:
            os.rename(source, target)
        except BaseException:
            os.rename(old, target)
            raise
    with contextlib.suppress(OSError):  # the next save deletes it
        os.rename(old, source)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; False where the kernel or the file system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):  # not Linux
        return False
    if renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


def is_temporary(name: str) -> bool:
    """Whether a file or folder is one that atomic_path or atomic_directory writes before it renames it."""
    return bool(TEMPORARY_NAME.fullmatch(name)) and name.endswith(".part")


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


def _sync_folder_of(path: Path) -> None:
    try:
        _sync(path.parent)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            reason = describe_system_error(error)
            raise WriteError(f"{path} was written, but a power failure may undo it: {reason}") from error


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def try_lock(file: IO[Any] | int, first: int = 0, count: int = 0) -> bool:
    """Lock a file, or `count` bytes from `first` on, for this process; False where another process has it.

    The lock ends when the process does, or closes the file. A file system without locks has nothing to wait
    for.
    """
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, count, first)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass
    return True


@contextlib.contextmanager
def folder_lock(folder: Path, advice: str = "") -> Iterator[None]:
    """Hold the lock of a folder: others wait, or with `advice` get a UserError. Nothing is written for it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if advice else 0))
        except BlockingIOError:
            raise UserError(f"another process is writing to {folder}; {advice}") from None
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)


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


def is_file(path: str | Path) -> bool:
    """Whether a regular file exists. Raises UserError for a FIFO, a device or a socket, not for a folder."""
    if os.path.exists(path) and not os.path.isdir(path):
        check_regular(path)
    return os.path.isfile(path)


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


def split_paths(text: str | Path) -> list[str]:
    """The paths in a comma-separated list; empty entries, as after a trailing comma, are dropped.

    Parts that are together an existing path, whose name has commas, are one path.
    """
    parts, paths = str(text).split(","), []
    while parts:
        joined = (",".join(parts[:count]).strip() for count in range(min(len(parts), MAX_COMMAS + 1), 1, -1))
        path = next(filter(os.path.exists, joined), parts[0].strip())
        paths.append(path)
        parts = parts[path.count(",") + 1 :]
    return [path for path in paths if path]


def relative_paths(text: str) -> str:
    """`text` with the paths below the working folder made relative, as log lines show them."""
    # Not inside a longer path that happens to contain that of the working folder.
    return re.sub(rf"(?<![\w./-]){re.escape(os.getcwd())}/(?=[^/\s])", "", text)
