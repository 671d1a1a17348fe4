"""Downloads data sets into one folder per task, in GLUE's file layout."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...data.download.archive import unpack
from ...data.download.catalog import DataSet, choose_data_sets
from ...data.download.fetch import Unavailable, fetch, url_of
from ...data.download.mrpc import write_mrpc
from ...errors import UserError, describe_system_error
from ...files import atomic_path, folder_lock
from ...output_dir import add_to_marker, marker_patterns
from ...signals import interruptible

if TYPE_CHECKING:
    from ...tools.download import DownloadConfig

PARTS = ".download"  # folder of complete and partial archives, below data_dir


def download(config: "DownloadConfig") -> None:
    """Download the data sets of a DownloadConfig; continues after a failure.

    Raises UserError at the end when a data set is missing.
    """
    chosen, data_dir = choose_data_sets(config.tasks), Path(config.data_dir)
    url_of(chosen[0].remotes[0], config.mirror)  # reports an invalid mirror once
    if data_dir.exists() and not data_dir.is_dir():
        raise UserError(f"data_dir {data_dir} is a file; give a folder")
    failed = []
    for data_set in chosen:
        try:
            with interruptible(), _disk_errors(data_dir), _sole_writer(data_dir):
                _download(data_set, config, data_dir)
        except UserError as error:
            if len(chosen) == 1:
                raise
            failed.append(data_set.name)
            print(f"{data_set.name}: {error}")
    if failed:
        raise UserError(f"not fetched: {', '.join(failed)}; see the messages above")


@contextlib.contextmanager
def _disk_errors(data_dir: Path) -> Iterator[None]:
    """Turn an OSError into a UserError: other data sets may still be fetched."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{error.filename2 or error.filename or data_dir} cannot be written: "
            f"{describe_system_error(error)}; give another data_dir"
        ) from error


@contextlib.contextmanager
def _sole_writer(data_dir: Path) -> Iterator[None]:
    """Create and lock `data_dir`, so that no other process appends to its partial files."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with folder_lock(data_dir, "wait for it or stop it, or give another --data_dir"):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # not empty: partial files stay for the next run
                (data_dir / PARTS).rmdir()


def _download(data_set: DataSet, config: "DownloadConfig", data_dir: Path) -> None:
    """Download one data set; existing files are kept."""
    folder = data_dir / data_set.output_folder
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file instead of a folder; give another data_dir")
    names = [name for name in data_set.files if config.overwrite or not (folder / name).is_file()]
    written = marker_patterns(folder) or ()
    foreign = next((name for name in names if (folder / name).is_file() and name not in written), None)
    if foreign:
        raise UserError(
            f"{folder / foreign} was not written by a download, so it is not replaced; move or "
            "delete it by hand, or give another data_dir"
        )
    if not names:
        print(f"{data_set.name}: kept, {', '.join(data_set.files)} are in {folder}")
        return
    fetched = FORMS[data_set.form](data_set, names, folder, data_dir / PARTS, config.mirror)
    size = sum(path.stat().st_size for path in fetched)
    for path in fetched:
        path.unlink()
    print(f"{data_set.name}: {', '.join(names)} in {folder} ({size / 1e6:.1f} MB fetched)")


def _from_zip(data_set: DataSet, names: list[str], folder: Path, parts: Path, mirror: str) -> list[Path]:
    archive = fetch(data_set.remotes[0], parts, mirror)
    unpack(archive, {name: data_set.files[name] for name in names}, folder)
    return [archive]


def _from_file(data_set: DataSet, names: list[str], folder: Path, parts: Path, mirror: str) -> list[Path]:
    path = fetch(data_set.remotes[0], parts, mirror)
    add_to_marker(folder, names)
    with atomic_path(folder / names[0]) as temporary:
        temporary.write_bytes(path.read_bytes())
    return [path]


def _from_microsoft(
    data_set: DataSet, names: list[str], folder: Path, parts: Path, mirror: str
) -> list[Path]:
    train, test, dev_ids = data_set.remotes
    texts = [fetch(remote, parts, mirror) for remote in (train, test)]
    dev: Path | None = None
    try:
        dev = fetch(dev_ids, parts, mirror)
    except Unavailable as error:
        print(f"MRPC: {error}")
    write_mrpc(texts[0], texts[1], dev, folder, names)
    return [*texts, *filter(None, [dev])]


FORMS: dict[str, Callable[[DataSet, list[str], Path, Path, str], list[Path]]] = {
    "zip": _from_zip,
    "file": _from_file,
    "mrpc": _from_microsoft,
}
