"""Extracts files from an untrusted zip archive: names and disk space checked, all files or none."""

import contextlib
import errno
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from ...files import atomic_path
from ...output_dir import add_to_marker
from .fetch import check_room, refuse

BLOCK = 1 << 20  # bytes


def unpack(archive: Path, files: dict[str, str], folder: Path) -> None:
    """Extract `files` {name in the folder: name in the archive} from any folder of `archive`.

    Of several members with the same name, the topmost is extracted. Raises UserError, without changing the
    folder, for an incomplete archive, a missing file, or a member with an unsafe path.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            _check_names(archive, source)
            members = {name: _member(archive, source, member) for name, member in files.items()}
            check_room(archive.parent, sum(member.file_size for member in members.values()), archive.name)
            _extract(source, members, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        refuse(archive, f"{archive.name} is not a complete zip archive ({error})")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # An offset in the archive before its beginning.
        refuse(archive, f"{archive.name} is not a complete zip archive ({error.strerror or error})")


def _check_names(archive: Path, source: zipfile.ZipFile) -> None:
    for member in source.infolist():
        path = PureWindowsPath(member.filename)  # accepts both kinds of slashes
        if path.root or path.drive or ".." in path.parts:
            refuse(archive, f'{archive.name} holds "{member.filename}", a path outside of its folder')
        if stat.S_ISLNK(member.external_attr >> 16):
            refuse(archive, f'{archive.name} holds "{member.filename}", a link')


def _member(archive: Path, source: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    found = [
        member
        for member in source.infolist()
        if PurePosixPath(member.filename).name == name and not member.is_dir()
    ]
    if not found:
        refuse(archive, f"{archive.name} holds no {name}")
    return min(found, key=lambda member: (member.filename.count("/"), member.filename))


def _extract(source: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], folder: Path) -> None:
    is_new = not folder.exists()
    try:
        with contextlib.ExitStack() as stack:  # renames the files once all are complete
            for name, member in members.items():
                temporary = stack.enter_context(atomic_path(folder / name))
                with open(temporary, "wb") as file:
                    file.writelines(_blocks(source, member))
            add_to_marker(folder, members)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _blocks(source: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of a member. Raises BadZipFile where an offset lies before the beginning of the archive."""
    try:
        with source.open(member) as packed:
            yield from iter(lambda: packed.read(BLOCK), b"")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise zipfile.BadZipFile(error.strerror) from None
