"""Building: once for all processes, anew when anything it depends on changes, refused with a reason."""

import multiprocessing
import os
import stat

import pytest

from src.kernels import build
from src.kernels.build import KernelsUnavailable


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """A compiler that notes its calls and writes a file; returns the file of notes."""
    notes, script = tmp_path / "calls", tmp_path / "compiler"
    script.write_text(
        '#!/bin/sh\nif [ "$1" = --version ]; then echo fake 1.0; exit; fi\n'
        f'echo call >> {notes}\nsleep 0.3\nwhile [ "$1" != -o ]; do shift; done\necho built > "$2"\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(script))
    return notes


def test_two_processes_build_once(compiler, tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(build.library_path, [tmp_path / "cache"] * 2)
    assert first == second and first.read_text() == "built\n"
    assert compiler.read_text() == "call\n"
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [first.name, "lock"]


def test_another_source_flag_or_processor_builds_anew(compiler, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    paths = {build.library_path(folder)}
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-O2"))
    paths.add(build.library_path(folder))
    monkeypatch.setattr(build, "_processor", lambda: "another")
    paths.add(build.library_path(folder))
    copied = tmp_path / "cpp"
    copied.mkdir()
    (copied / "only.cpp").write_text("int x;")
    monkeypatch.setattr(build, "SOURCES", copied)
    paths.add(build.library_path(folder))
    assert len(paths) == 4 and compiler.read_text() == "call\n" * 4


def test_no_compiler(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KernelsUnavailable, match="no C"):
        build.library_path(tmp_path / "cache")


def test_a_compiler_that_fails(tmp_path, monkeypatch):
    script = tmp_path / "compiler"
    script.write_text('#!/bin/sh\n[ "$1" = --version ] && exit\necho "x.cpp: error: no OpenMP" >&2\nexit 1\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(script))
    with pytest.raises(KernelsUnavailable, match="no OpenMP"):
        build.library_path(tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.so"))
    monkeypatch.setenv("CXX", str(tmp_path / "absent"))
    with pytest.raises(KernelsUnavailable, match="does not run"):
        build.library_path(tmp_path / "cache")


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The temporary folder of the system."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(build.tempfile, "gettempdir", lambda: str(folder))
    return folder


def test_read_only_home(tmp_path, temporary, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    assert build.cache_folder() == tmp_path / "home" / "cache" / "mindspore-bert-compression"
    # Root, as whom tests are often run, writes everywhere.
    home = tmp_path / "home"
    monkeypatch.setattr(os, "access", lambda path, mode: home not in (path, *path.parents))
    folder = build.cache_folder().parent
    assert folder.parent == temporary and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert build.cache_folder().parent == folder


@pytest.mark.parametrize("base", ["relative/cache", "{tmp_path}/with:colon"])
def test_a_cache_that_cannot_be_named(tmp_path, temporary, monkeypatch, base):
    monkeypatch.setenv("XDG_CACHE_HOME", base.format(tmp_path=tmp_path))
    assert temporary in build.cache_folder().parents


def test_the_home_of_another_user(tmp_path, temporary, monkeypatch):
    """What sudo leaves in HOME may not even be looked into."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    look, may = os.stat, os.access

    def stat_of(path, **how):
        if str(path).startswith(str(tmp_path / "home")):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, **how)

    monkeypatch.setattr(os, "stat", stat_of)
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and may(path, mode))
    assert temporary in build.cache_folder().parents


def test_a_home_in_which_no_folder_can_be_made_whatever_its_mode_says(temporary, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none/cache")
    assert temporary in build.cache_folder().parents


def test_no_home(temporary, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert temporary in build.cache_folder().parents


def test_the_temporary_folder_of_somebody_else(compiler, temporary, monkeypatch):
    """Anybody may make a folder of this name first, and put a library of his own in it."""
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    build.cache_folder().mkdir()
    uid = os.getuid()
    (temporary / f"cache-{uid}").rename(temporary / f"cache-{uid + 1}")
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(KernelsUnavailable, match="belongs to another user"):
        build.library_path()


def test_complaints_in_english(tmp_path, monkeypatch):
    script = tmp_path / "compiler"
    said = '[ "$LC_ALL" = C ] && echo "error: no room" >&2 || echo "Fehler" >&2'
    script.write_text(f"#!/bin/sh\n{said}\nexit 1\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with pytest.raises(KernelsUnavailable, match="error: no room"):
        build.library_path(tmp_path / "cache")
