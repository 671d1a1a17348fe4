"""Extracts files from an untrusted zip archive: names and disk space checked, all files or none."""

import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from ...errors import is_disk_full
from ...output_dir import add_to_marker
from .fetch import check_room, refuse


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
            _extract(source, members, folder, archive.parent)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        refuse(archive, f"{archive.name} is not a complete zip archive ({error})")
    except OSError as error:
        if error.filename or is_disk_full(error):
            raise
        # An invalid offset in the archive; errors of the disk have a file name.
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


def _extract(
    source: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], folder: Path, parent: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=parent) as temporary:
        for name, member in members.items():
            with source.open(member) as packed, open(Path(temporary) / name, "wb") as file:
                shutil.copyfileobj(packed, file)
        add_to_marker(folder, members)
        for name in members:
            os.replace(Path(temporary) / name, folder / name)
