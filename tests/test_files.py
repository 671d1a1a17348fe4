"""Atomic files and folders, and JSON."""

import os
import resource

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.errors import UserError
from src.files import atomic_directory, read_json, relative_paths


def test_mount_point_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path)
    with pytest.raises(UserError, match="is a mount point"), atomic_directory(tmp_path):
        pytest.fail("the folder is checked after the work instead of before")
    assert not list(tmp_path.iterdir())


def test_json_nested_too_deeply(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="deep.json cannot be read: maximum recursion depth"):
        read_json(tmp_path / "deep.json")


def test_full_disk_keeps_the_previous_folder(tmp_path):
    """safetensors raises its own type of error."""
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "old").write_text("x")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # maximum file size in bytes
    try:
        with pytest.raises(UserError, match="best could not be written: no space left on the disk"):
            with atomic_directory(tmp_path / "best") as folder:
                save_file({"weight": np.zeros(30_000, np.float32)}, str(folder / "model.safetensors"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["best"] and (tmp_path / "best" / "old").is_file()


def test_paths_below_the_working_folder_are_shown_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = f"read {tmp_path}/a/b.txt, {tmp_path}/c (/x{tmp_path}/d, {tmp_path}_e/f, {tmp_path})"
    assert relative_paths(text) == f"read a/b.txt, c (/x{tmp_path}/d, {tmp_path}_e/f, {tmp_path})"
