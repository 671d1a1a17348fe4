"""Atomic files and folders, and what is not a regular file."""

import os
import resource
import socket

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.errors import UserError
from src.files import atomic_directory, check_regular, reading, relative_paths, split_paths


def test_mount_point_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path)
    with pytest.raises(UserError, match="is a mount point"), atomic_directory(tmp_path):
        pytest.fail("the folder is checked after the work instead of before")
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize(
    "kind, words",
    [("fifo", "is a FIFO"), ("socket", "is a socket"), ("folder", "is a folder"), ("device", "is a device"),
     ("absent", "does not exist"), ("below a file", "does not exist"), ("loop", "symbolic links"),
     ("long", "File name too long"), ("null", "null byte")],
)  # fmt: skip
def test_what_is_not_a_regular_file(kind, words, tmp_path):
    path = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "below a file":
        path.write_text("")
    other = {"device": "/dev/null", "below a file": path / "y", "long": "x" * 300, "null": "x\0y"}
    with pytest.raises(UserError, match=words):
        check_regular(other.get(kind, path))


def test_an_exception_of_a_parser_becomes_a_sentence_with_the_file():
    with pytest.raises(UserError) as caught, reading("x.bin", "a picture", "draw it again"):
        raise ZeroDivisionError("division by zero.\nsecond line")
    assert str(caught.value) == "x.bin cannot be read as a picture: division by zero; draw it again"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    for passed_on in (KeyboardInterrupt, ModuleNotFoundError):
        with pytest.raises(passed_on), reading("x.bin", "a picture"):
            raise passed_on


def test_paths_below_the_working_folder_are_shown_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = f"read {tmp_path}/a/b.txt, {tmp_path}/c (/x{tmp_path}/d, {tmp_path}_e/f, {tmp_path})"
    assert relative_paths(text) == f"read a/b.txt, c (/x{tmp_path}/d, {tmp_path}_e/f, {tmp_path})"


def test_paths_with_commas_are_taken_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b,1", "c, d,e"):
        (tmp_path / name).mkdir()
    assert split_paths("b,1") == ["b,1"] and split_paths(tmp_path / "b,1") == [str(tmp_path / "b,1")]
    assert split_paths("a, b,1 ,c, d,e,missing,") == ["a", "b,1", "c, d,e", "missing"]
    assert split_paths("") == split_paths(" , ") == []
