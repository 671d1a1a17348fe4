"""Download: the owners' archives -> one folder a task, in GLUE's own files."""

import contextlib
from pathlib import Path

from ...data.download.archive import unpack
from ...data.download.catalog import choose_data_sets
from ...data.download.fetch import Unavailable, address, fetch
from ...data.download.mrpc import write_mrpc
from ...errors import UserError, is_disk_full
from ...files import atomic_path
from ...output_dir import add_to_marker, marker_patterns

PARTS = ".download"  # archives and what has come of them, below data_dir


def download(config):
    """Fetch what a DownloadConfig names. What cannot be had does not keep the others back.

    Raises UserError at the end when something is missing.
    """
    chosen, data_dir = choose_data_sets(config.tasks), Path(config.data_dir)
    address(chosen[0].remotes[0], config.mirror)  # a wrong mirror is one sentence, not one for each
    if data_dir.exists() and not data_dir.is_dir():
        raise UserError(f"data_dir {data_dir} is a file; give a folder")
    failed = []
    for data_set in chosen:
        try:
            with _named(data_dir):
                _provide(data_set, config, data_dir)
        except UserError as error:
            if len(chosen) == 1:
                raise
            failed.append(data_set.name)
            print(f"{data_set.name}: {error}")
        finally:
            with contextlib.suppress(OSError):  # what broke off stays there for the next run
                (data_dir / PARTS).rmdir()
    if failed:
        raise UserError(f"not fetched: {', '.join(failed)}; the lines above say why")


@contextlib.contextmanager
def _named(data_dir):
    """What the file system refuses as a UserError; a full disk is said by run_main."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise
        raise UserError(
            f"{error.filename2 or error.filename or data_dir} cannot be written: "
            f"{error.strerror}; give another data_dir"
        ) from None


def _provide(data_set, config, data_dir):
    """Bring one data set to its folder; files that are there are kept."""
    folder = data_dir / data_set.place
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file where a folder belongs; give another data_dir")
    wanted = [name for name in data_set.files if config.overwrite or not (folder / name).is_file()]
    ours = marker_patterns(folder) or ()
    foreign = next((name for name in wanted if (folder / name).is_file() and name not in ours), None)
    if foreign:
        raise UserError(
            f"{folder / foreign} was not written by a download, so it is not replaced; move or "
            "delete it by hand, or give another data_dir"
        )
    if not wanted:
        print(f"{data_set.name}: kept, {', '.join(data_set.files)} are in {folder}")
        return
    fetched = FORMS[data_set.form](data_set, wanted, folder, data_dir / PARTS, config.mirror)
    size = sum(path.stat().st_size for path in fetched)
    for path in fetched:
        path.unlink()
    print(f"{data_set.name}: {', '.join(wanted)} in {folder} ({size / 1e6:.1f} MB fetched)")


def _from_zip(data_set, wanted, folder, parts, mirror):
    archive = fetch(data_set.remotes[0], parts, mirror)
    unpack(archive, {name: data_set.files[name] for name in wanted}, folder)
    return [archive]


def _plain(data_set, wanted, folder, parts, mirror):
    path = fetch(data_set.remotes[0], parts, mirror)
    add_to_marker(folder, wanted)
    with atomic_path(folder / wanted[0]) as temporary:
        temporary.write_bytes(path.read_bytes())
    return [path]


def _from_microsoft(data_set, wanted, folder, parts, mirror):
    train, test, dev_ids = data_set.remotes
    texts = [fetch(remote, parts, mirror) for remote in (train, test)]
    try:
        dev = fetch(dev_ids, parts, mirror)
    except Unavailable as error:
        print(f"MRPC: {error}")
        dev = None
    write_mrpc(*texts, dev, folder, wanted)
    return [*texts, *filter(None, [dev])]


FORMS = {"zip": _from_zip, "file": _plain, "mrpc": _from_microsoft}
