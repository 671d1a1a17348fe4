"""Files out of a zip archive that nobody here made: names checked, room checked, all of them or none."""

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


def unpack(archive, files, folder):
    """Take `files` {name in the folder: name in the archive} out of `archive`, whichever folder they are in.

    Where several members have a name, the one nearest to the top is meant. Raises UserError, and leaves the
    folder as it was, for what is no whole archive, lacks a file, or has a member that leads out of it.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            _check_names(archive, source)
            members = {name: _member(archive, source, wanted) for name, wanted in files.items()}
            check_room(archive.parent, sum(member.file_size for member in members.values()), archive.name)
            _extract(source, members, folder, archive.parent)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        refuse(archive, f"{archive.name} is not a whole zip archive ({error})")
    except OSError as error:
        if error.filename or is_disk_full(error):
            raise
        # A place in the archive that is none; what the disk refuses has a name.
        refuse(archive, f"{archive.name} is not a whole zip archive ({error.strerror or error})")


def _check_names(archive, source):
    for member in source.infolist():
        path = PureWindowsPath(member.filename)  # knows both kinds of slashes
        if path.root or path.drive or ".." in path.parts:
            refuse(archive, f'{archive.name} holds "{member.filename}", a path outside of its folder')
        if stat.S_ISLNK(member.external_attr >> 16):
            refuse(archive, f'{archive.name} holds "{member.filename}", a link')


def _member(archive, source, name):
    found = [
        member
        for member in source.infolist()
        if PurePosixPath(member.filename).name == name and not member.is_dir()
    ]
    if not found:
        refuse(archive, f"{archive.name} holds no {name}")
    return min(found, key=lambda member: (member.filename.count("/"), member.filename))


def _extract(source, members, folder, beside):
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=beside) as place:
        for name, member in members.items():
            with source.open(member) as packed, open(Path(place) / name, "wb") as file:
                shutil.copyfileobj(packed, file)
        add_to_marker(folder, members)
        for name in members:
            os.replace(Path(place) / name, folder / name)
