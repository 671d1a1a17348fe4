"""Files and folders that are written, emptied or refused as a whole."""

import os
import resource

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.errors import UserError
from src.files import atomic_directory, fresh_output_dir, read_json


def filled(folder):
    """A folder with a file, a folder and a link to a folder outside, whose file is returned."""
    outside = folder.with_name("outside")
    for place in (outside, folder / "best"):
        place.mkdir(parents=True)
        (place / "file").write_text("x")
    (folder / "log.txt").write_text("x")
    (folder / "link").symlink_to(outside)
    return outside / "file"


def test_a_linked_output_folder_is_emptied(tmp_path):
    """It stays where it is, as one on which a disk is mounted has to."""
    kept, link = filled(tmp_path / "disk"), tmp_path / "output"
    link.symlink_to(tmp_path / "disk")
    assert fresh_output_dir(link, overwrite=True) == link
    assert link.is_symlink() and not list(link.iterdir()) and kept.read_text() == "x"


def test_a_mounted_folder_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path)
    with pytest.raises(UserError, match="is a disk of its own"), atomic_directory(tmp_path):
        pytest.fail("all the work was done first")
    assert not list(tmp_path.iterdir())


def test_a_user_without_a_home(tmp_path, monkeypatch):
    """As in a container that runs under a number: Path.home() raises."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    kept = filled(tmp_path / "output")
    assert not list(fresh_output_dir(tmp_path / "output", overwrite=True).iterdir()) and kept.is_file()


def test_json_that_is_too_deep(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="deep.json cannot be read: maximum recursion depth"):
        read_json(tmp_path / "deep.json")


def test_a_full_disk_leaves_the_earlier_folder(tmp_path):
    """The library that writes weights raises an error of its own."""
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "old").write_text("x")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # bytes a file may have
    try:
        with pytest.raises(UserError, match="best could not be written, there is no room on the disk"):
            with atomic_directory(tmp_path / "best") as folder:
                save_file({"weight": np.zeros(30_000, np.float32)}, str(folder / "model.safetensors"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["best"] and (tmp_path / "best" / "old").is_file()
