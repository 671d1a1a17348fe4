"""Whether other users could replace a file that this process is going to load and run."""

import grp
import os
import pwd
import stat
from pathlib import Path


def why_unsafe(path: Path) -> str:
    """Why another user could change a file or folder, or put something else in its place; empty if none can.

    All folders up to the root count, and those that links on the way lead to: each has to belong to this user
    or to root, and only they may write to it. In a folder with the sticky bit, such as /tmp, others can only
    add entries. Raises OSError where something on the way cannot be looked up.
    """
    path = Path(os.path.abspath(path))
    for each in dict.fromkeys((*_chain(path), *_chain(path.resolve()))):
        status = each.lstat()
        if status.st_uid not in (0, os.getuid()):
            return f"{each} belongs to another user"
        is_sticky_parent = status.st_mode & stat.S_ISVTX and each != path
        if not stat.S_ISLNK(status.st_mode) and not is_sticky_parent and _others_may_write(status):
            return f"{each} can be written by other users"
    return ""


def _chain(path: Path) -> list[Path]:
    return [*reversed(path.parents), path]


def _others_may_write(status: os.stat_result) -> bool:
    group_may_write = status.st_mode & stat.S_IWGRP and not _is_own_group(status.st_gid)
    return bool(status.st_mode & stat.S_IWOTH or group_may_write)


def _is_own_group(group: int) -> bool:
    """Whether a group is the user's private one: where these exist, the usual umask lets them write."""
    try:
        entry, user = grp.getgrgid(group), pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return False
    return entry.gr_name == user and set(entry.gr_mem) <= {user}
