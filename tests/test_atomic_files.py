"""Writers that are killed, or that the system refuses something, at any of their system calls."""

import contextlib
import errno
import fcntl
import itertools
import os
import re
import resource
import tempfile

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models

from src import files
from src.digests import SUMS_FILE
from src.errors import WriteError, run_main
from src.files import atomic_directory, atomic_path, move_synced, restore_replaced

CALLS = "open close mkdir rmdir unlink chmod fsync rename replace scandir".split()
LIMIT = 200  # no writer makes as many calls


def write_file(path, text):
    with atomic_path(path) as temporary, open(temporary, "w") as file:
        file.write(text)


def write_folder(path, text):
    with atomic_directory(path) as folder:
        for name in ("config.json", "model.safetensors"):
            (folder / name).write_text(text)


def move_file(path, text):
    part = path.with_name("downloaded")
    part.write_text(text)
    move_synced(part, path)


def content(path):
    if not path.is_dir():
        return {path.read_text()}
    texts = {name: (path / name).read_text() for name in os.listdir(path)}
    assert sorted(texts) == [SUMS_FILE, "config.json", "model.safetensors"]
    del texts[SUMS_FILE]
    return set(texts.values())


def without_exchange(patch):
    """As on a file system that has no RENAME_EXCHANGE."""
    patch.setattr(files, "_exchange", lambda one, other: False)


class Killed(BaseException):
    """Ends a writer as kill -9 does: none of its system calls has an effect any more."""


class SystemCalls:
    """Calls `action`, or kills, before the system call `number`, counted from 0; `made` are those so far."""

    def __init__(self, patch, number, action=None):
        self.made, self.dead, self._open = 0, False, set()
        self._number, self._action, self._close = number, action or self._kill, os.close
        for name in CALLS:
            patch.setattr(os, name, self._counted(getattr(os, name)))
        patch.setattr(fcntl, "flock", self._counted(fcntl.flock))
        patch.setattr(files, "_exchange", self._counted(files._exchange))

    def _counted(self, call):
        def run(*arguments, **options):
            number, self.made = self.made, self.made + 1
            if self.dead:
                raise Killed
            if number == self._number:
                self._action()
            result = call(*arguments, **options)
            if call is self._close:
                self._open.discard(arguments[0])
            elif call.__name__ == "open":
                self._open.add(result)
            return result

        return run

    def _kill(self):
        self.dead = True
        raise Killed

    def close_files(self):
        """What the system does for a killed process."""
        for handle in self._open:
            self._close(handle)


WRITERS = {
    "file": (write_file, None),
    "folder": (write_folder, None),
    "folder without exchange": (write_folder, without_exchange),
    "moved file": (move_file, None),
}


@pytest.fixture(params=WRITERS.values(), ids=WRITERS)
def writer(request, monkeypatch):
    write, prepare = request.param
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # takes most of the time
    if prepare:
        prepare(monkeypatch)
    return write


def test_killed_at_any_call_leaves_old_or_new(writer, tmp_path, monkeypatch):
    path, seen = tmp_path / "best", set()
    writer(path, "old")
    for number in range(LIMIT):
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            calls = SystemCalls(patch, number)
            writer(path, "new")
        calls.close_files()
        restore_replaced(path)
        assert content(path) in ({"old"}, {"new"})
        seen |= content(path)
        writer(path, "old")
        assert {entry.name for entry in tmp_path.iterdir()} == {"best"}, "leftovers stay"
        if not calls.dead:
            break
    assert number > 5 and seen == {"old", "new"}


@pytest.mark.parametrize("existing", [True, False])
def test_refused_at_any_call_leaves_old_or_new(writer, existing, tmp_path, monkeypatch):
    def refuse():
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for number in range(LIMIT):
        path, message = tmp_path / str(number) / "best", None
        path.parent.mkdir()
        if existing:
            writer(path, "old")
        with monkeypatch.context() as patch:
            calls = SystemCalls(patch, number, refuse)
            try:
                writer(path, "new")
            except WriteError as error:
                message = str(error)
        after = content(path) if path.exists() else None
        if message is None or message.startswith(f"{path} was written, but a power failure may undo it: "):
            assert after == {"new"}
        else:
            assert after == ({"old"} if existing else None)
            assert message.startswith(f"{path} could not be written: input/output error")
        if calls.made <= number:
            break
    assert number > 5


def test_every_error_of_the_system_is_one_sentence(tmp_path, monkeypatch, capsys):
    path = tmp_path / "best"
    for number, write in itertools.product(errno.errorcode, (write_file, write_folder)):

        def fail(*arguments, number=number):
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch, pytest.raises(SystemExit) as stop:
            patch.setattr(os, "fsync", fail)
            run_main(lambda write=write: write(path, "new"))
        error = capsys.readouterr().err
        assert stop.value.code == 2 and not any(tmp_path.iterdir())
        assert re.fullmatch(
            rf"error: {path} could not be written: [^\n]+; any previous version is unchanged\n", error
        )


def save_arrays(path):
    save_file({"weight": np.zeros(30_000, np.float32)}, str(path))


def save_tokenizer(path):
    Tokenizer(models.WordLevel({f"word{i}": i for i in range(30_000)}, "word0")).save(str(path))


@pytest.mark.parametrize("save", [save_arrays, save_tokenizer])
def test_exceptions_of_libraries_are_sentences(save, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # maximum file size in bytes
    try:
        with pytest.raises(WriteError, match="best could not be written: no space left on the disk; any"):
            with atomic_directory(tmp_path / "best") as folder:
                save(folder / "file")
        with pytest.raises(WriteError, match="file could not be written: no space left on the disk; any"):
            with atomic_path(tmp_path / "file") as path:
                save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any(tmp_path.iterdir())


def test_the_sentence_names_the_file_at_fault(tmp_path):
    with pytest.raises(WriteError, match=r"copy could not be written: no such file or directory \(/no/such"):
        with atomic_path(tmp_path / "copy"):
            open("/no/such/file")
    (tmp_path / "file").write_text("x")
    with pytest.raises(WriteError, match=r"model could not be written: file exists \(.*/file\)"):
        with atomic_directory(tmp_path / "file" / "model"):
            pass
    with pytest.raises(WriteError, match=r"best/metrics.json could not be written: input/output error; any"):
        with atomic_directory(tmp_path / "best") as folder, atomic_path(folder / "metrics.json"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("writer", [write_file, write_folder])
def test_what_another_process_is_writing_is_no_leftover(writer, tmp_path):
    path, (read, write), (ends, end) = tmp_path / "best", os.pipe(), os.pipe()
    make = atomic_directory if writer is write_folder else atomic_path
    process = os.fork()
    if not process:
        with make(path):
            os.write(write, b"x")
            os.read(ends, 1)
            os._exit(0)
    os.read(read, 1)
    writer(path, "old")
    assert len(list(tmp_path.iterdir())) == 2
    os.write(end, b"x")
    os.waitpid(process, 0)
    writer(path, "new")
    assert list(tmp_path.iterdir()) == [path] and content(path) == {"new"}


@pytest.mark.parametrize("writer", [write_file, write_folder])
def test_a_temporary_folder_that_another_process_deletes_before_it_is_locked(writer, tmp_path, monkeypatch):
    made, original = [], tempfile.mkdtemp

    def mkdtemp(**names):
        made.append(original(**names))
        if len(made) == 1:
            os.rmdir(made[0])
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    writer(tmp_path / "best", "new")
    assert len(made) == 2 and content(tmp_path / "best") == {"new"}


def test_files_that_only_look_alike_are_no_leftovers(tmp_path):
    alike = [
        ".best.part",
        ".best.abcd_123.old.part",
        ".best.json.abcd_123.part",
        ".best.ABCD_123.part",
        "best.part",
    ]
    for name in alike:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".best.abcd_123.part").symlink_to(tmp_path / "best.part")
    os.mkfifo(tmp_path / ".best.abcd_124.part")
    before = sorted(os.listdir(tmp_path))
    write_folder(tmp_path / "best", "new")
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "best"])


def test_a_linked_folder_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "best").symlink_to("disk/model")
    for text in ("old", "new"):
        write_folder(tmp_path / "best", text)
        assert os.readlink(tmp_path / "best") == "disk/model" and content(tmp_path / "disk" / "model") == {
            text
        }
    assert os.listdir(tmp_path / "disk") == ["model"]
