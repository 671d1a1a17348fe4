"""Downloads are on the disk before they get their names; a failing disk leaves the files as they were."""

import errno
import io
import itertools
import os
import zipfile

import pytest

from src.data.download import fetch as download_fetch
from src.data.download.archive import unpack
from src.data.download.catalog import Remote
from src.errors import WriteError
from src.files import write_text
from src.output_dir import MARKER

NAMES = ("train.tsv", "dev.tsv")
pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/fd"), reason="asks /proc which file a handle is of"
)


@pytest.fixture
def download(tmp_path, monkeypatch):
    """A function that fetches an archive, without a network, and unpacks it to the folder task/."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name in NAMES:
            file.writestr(name, "new")

    def transfer(url, part, remote):
        part.write_bytes(content.getvalue())

    def run():
        archive = download_fetch.fetch(Remote("http://host/task.zip"), tmp_path / "parts")
        unpack(archive, {name: name for name in NAMES}, tmp_path / "task")

    monkeypatch.setattr(download_fetch, "_transfer", transfer)
    return run


def test_files_are_synced_before_they_are_renamed(download, monkeypatch):
    synced, named, fsync, replace = set(), [], os.fsync, os.replace

    def recording_fsync(handle):
        synced.add(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    def recording_replace(source, target):
        assert os.path.realpath(source) in synced, source
        named.append(os.path.basename(target))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    download()
    assert sorted(named) == sorted(["task.zip", MARKER, *NAMES])


@pytest.mark.parametrize("moment, name", [(0, "task.zip"), (1, MARKER), (2, "dev.tsv")])
def test_a_failing_disk(download, tmp_path, monkeypatch, moment, name):
    counter, fsync = itertools.count(), os.fsync
    for old in NAMES:
        write_text(tmp_path / "task" / old, "old")

    def fail(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}") or next(counter) != moment:
            return fsync(handle)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(WriteError, match=f"{name} could not be written: input/output error; any previous"):
        download()
    assert {(tmp_path / "task" / old).read_text() for old in NAMES} == {"old"}
    assert {path.name for path in (tmp_path / "task").iterdir()} <= {MARKER, *NAMES}
