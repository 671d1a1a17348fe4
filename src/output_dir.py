"""Output folders: a marker file lists what this project wrote there, and only that is ever deleted."""

import contextlib
import fnmatch
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from .digests import SUMS_FILE
from .errors import UserError
from .files import (
    atomic_directory,
    final_name,
    is_temporary,
    remove_leftovers,
    restore_replaced,
    split_paths,
    write_json,
)
from .json_reader import read_json

# Marks a folder as written by this project and lists the files, as patterns of relative paths, that
# --overwrite_output_dir may delete.
MARKER = ".bert_compression.json"
MAX_PATTERN = 500  # letters


def check_folder(path: str | Path) -> None:
    """Raise UserError when no folder can be created at `path` because a file is in the way."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"output_dir {path} is a file; give a folder")
    file = next((parent for parent in path.parents if parent.is_file()), None)
    if file:
        raise UserError(f"output_dir {path} is below {file}, which is a file; give another folder")


def check_output_dir(path: str | Path, overwrite: bool = False, inputs: Iterable[object] = ()) -> None:
    """Raise UserError for a folder that `fresh_output_dir` would reject.

    Changes nothing on disk, except that a folder which a killed save had only set aside gets its name back.
    Rejected are: a file, a folder that contains one of the paths in `inputs` (which may hold comma-separated
    lists), a non-empty folder without `overwrite`, and one with any file that this project did not write.
    """
    path = Path(path)
    restore_replaced(path)
    check_folder(path)
    if is_unused(path):
        return
    for needed in (entry for text in filter(None, inputs) for entry in (str(text), *split_paths(str(text)))):
        if _resolved(path) in (_resolved(needed), *_resolved(needed).parents):
            raise UserError(f"output_dir {path} contains {needed}, which this run reads; give another folder")
    if not overwrite:
        raise UserError(
            f"output_dir {path} is not empty; give another folder, or --overwrite_output_dir to delete the "
            "files of an earlier run"
        )
    _reject_protected(path)
    _reject_foreign(path)


def fresh_output_dir(
    path: str | Path, overwrite: bool = False, inputs: Iterable[object] = (), written: Iterable[str] = ()
) -> Path:
    """Create the folder `path`, empty except for its marker file. Raises UserError as `check_output_dir`.

    `written` are the patterns of all files that will be written there, so that the next run can overwrite the
    folder wherever this one is killed.
    """
    path = Path(path)
    check_output_dir(path, overwrite, inputs)
    _resolved(path).mkdir(parents=True, exist_ok=True)  # where a link points
    if overwrite:  # the folder itself stays: it may be a link or a mount point
        delete_matching(path, marker_patterns(path) or ())
    write_marker(path, written)
    return path


@contextlib.contextmanager
def atomic_output_dir(
    path: str | Path, overwrite: bool = False, inputs: Sequence[object] = (), written: Iterable[str] = ()
) -> Iterator[Path]:
    """As `fresh_output_dir`, for a folder that is written atomically: yields a temporary folder."""
    check_output_dir(path, overwrite, inputs)
    with atomic_directory(Path(path), delete_owned) as folder:
        write_marker(folder, dict.fromkeys((*written, SUMS_FILE)))
        yield folder
        check_output_dir(path, overwrite, inputs)  # another program may have written there meanwhile


def is_unused(path: Path) -> bool:
    """Whether `path` does not exist, or contains nothing but a marker file."""
    return not path.is_dir() or all(
        final_name(entry.name) == MARKER
        and not entry.is_symlink()
        and (entry.is_file() or is_temporary(entry.name))
        for entry in path.iterdir()
    )


def write_marker(folder: str | Path, written: Iterable[str]) -> None:
    """Write the marker file of a folder with the patterns of its files: `log.txt`, `best/*.json` ..."""
    write_json(Path(folder) / MARKER, {"made_by": "bert compression", "written": list(written)})


def add_to_marker(folder: str | Path, names: Iterable[str]) -> None:
    """Add the files `names` to the marker of a folder that may contain files of others."""
    known = marker_patterns(folder) or []
    write_marker(folder, [*known, *(name for name in names if name not in known)])


def marker_patterns(folder: str | Path) -> list[str] | None:
    """The patterns in the marker file of a folder; None without a valid one."""
    marker = Path(folder) / MARKER
    if marker.is_symlink() or not marker.is_file():
        return None
    try:
        content = read_json(marker)
    except UserError:
        return None
    written = content.get("written") if isinstance(content, dict) else None
    return written if isinstance(written, list) and all(map(_is_pattern, written)) else None


def _is_pattern(text: object) -> bool:
    # Nothing outside the folder, and no pattern that matches everything.
    # fnmatch takes time that is quadratic in the brackets of a pattern.
    parts = text.split("/") if isinstance(text, str) and len(text) <= MAX_PATTERN else [""]
    return not {"", ".", ".."} & set(parts) and bool(parts[0].strip("*?[!]"))


def first_foreign(folder: str | Path, written: Iterable[str]) -> Path | None:
    """The relative path of the topmost entry in a folder that no pattern in `written` matches, or None."""
    folder, written = Path(folder), tuple(written)
    if not folder.is_dir():
        return None
    foreign = [path for path in _walk(folder) if not _matches(path, folder, written)]
    return min(foreign, key=lambda path: (len(path.parts), path)).relative_to(folder) if foreign else None


def delete_matching(folder: str | Path, written: Iterable[str]) -> None:
    """Delete what the patterns in `written` match; other files, their folders and the marker file stay."""
    folder, written = Path(folder), tuple(written)
    for path in _walk(folder):
        if _matches(path, folder, written):
            _delete(path)


def remove_leftovers_in(folder: str | Path, written: Iterable[str]) -> None:
    """Delete what killed writers of the files `written` left in a folder (see files.remove_leftovers)."""
    folder, written = Path(folder), tuple(written)

    def discard(leftover: Path) -> None:
        for path in (*_walk(leftover), leftover):
            if _matches(path, folder, written):
                _delete(path)

    for path in [*_walk(folder)] if folder.is_dir() else ():
        if final_name(path.name) != path.name and _matches(path, folder, written):
            remove_leftovers(path.with_name(final_name(path.name)), discard)


def _delete(path: Path) -> None:
    """Delete a file, a link or an empty folder."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        with contextlib.suppress(OSError):  # not empty
            path.rmdir()


def delete_owned(folder: str | Path) -> None:
    """Delete what the marker file of a folder lists, and the folder itself when nothing else is in it."""
    folder = Path(folder)
    delete_matching(folder, marker_patterns(folder) or ())
    if not is_unused(folder):
        return
    for path in _walk(folder):  # the marker file, and what its killed writers left
        _delete(path)
    with contextlib.suppress(OSError):  # a mount point stays
        if folder.is_symlink():
            folder.unlink()
        else:
            folder.rmdir()


def _walk(folder: Path) -> Iterator[Path]:
    """All paths below a folder, contents before their folder; links are not followed."""

    def fail(error: OSError) -> NoReturn:
        raise error

    for root, folders, files in os.walk(folder, topdown=False, onerror=fail):
        yield from (Path(root) / name for name in (*files, *folders))


def _matches(path: Path, folder: Path, written: Iterable[str]) -> bool:
    parts = path.relative_to(folder).parts
    # Whatever is in a temporary folder was written by the libraries of its writer.
    temporary = next((place for place, part in enumerate(parts, 1) if is_temporary(part)), None)
    parts = tuple(map(final_name, parts[:temporary]))
    is_link = path.is_symlink()
    is_folder = path.is_dir() and not is_link
    for pattern in written:
        names = pattern.split("/")
        # A folder matches as a parent of a file in a pattern; a link may have replaced either.
        is_parent, is_leaf = len(parts) < len(names), len(parts) == len(names)
        fits = (is_parent and (is_folder or is_link)) or (is_leaf and not is_folder)
        fits = fits or (temporary is not None and len(parts) <= len(names))
        if fits and all(map(fnmatch.fnmatchcase, parts, names)):
            return True
    return False


def _reject_protected(path: Path) -> None:
    # --overwrite_output_dir deletes files: never in a home, a root or a checkout (this project's included).
    resolved = _resolved(path)
    if (
        resolved in (_resolved(os.path.expanduser("~")), Path(resolved.anchor))
        or resolved.name == ".git"
        or (resolved / ".git").exists()
        or resolved in _resolved(".").parents
        or resolved == _resolved(".")
    ):
        raise UserError(f"output_dir {path} must not be overwritten; give a folder of its own")


def _resolved(path: object) -> Path:
    # Path.resolve raises a RuntimeError for a link to itself.
    return Path(os.path.realpath(str(path)))


def _reject_foreign(path: Path) -> None:
    written = marker_patterns(path)
    if written is None:
        raise UserError(
            f"output_dir {path} has no marker file ({MARKER}) of an earlier run, so nothing in it is "
            "deleted; give another folder, or delete it by hand"
        )
    foreign = first_foreign(path, [*written, MARKER])
    if foreign:
        raise UserError(
            f"output_dir {path} contains {foreign}, which this program did not write, so nothing in it is "
            "deleted; give another folder, or move that file away"
        )
