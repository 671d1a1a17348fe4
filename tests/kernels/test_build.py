"""Building: once for all processes, anew when anything it depends on changes, refused with a reason."""

import hashlib
import multiprocessing
import os
import stat

import pytest

from src.kernels import build, permissions
from src.kernels.build import KernelsUnavailable
from src.kernels.permissions import why_unsafe


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
    if uid == 0:
        os.chown(temporary / "cache-0", 1, 1)
    else:
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


def plant(folder, compiler_key):
    """Put libraries of the names of this and of earlier versions in a cache; returns the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"kernels-{compiler_key}.so").write_text("planted")
    path = folder / f"kernels-{compiler_key}-{hashlib.sha256(b'planted').hexdigest()[:16]}.so"
    path.write_text("planted")
    return path


def key_of(compiler):
    return build._cache_key([os.environ["CXX"]])


@pytest.mark.parametrize("others", ["world-writable", "group-writable", "owner", "owner of the link"])
def test_a_library_planted_in_a_shared_cache_is_not_loaded(
    compiler, tmp_path, temporary, monkeypatch, caplog, others
):
    """At fc5fcf9 it was: whatever lay at the place of the library ran in this process."""
    base = tmp_path / "shared" / "cache"
    planted = plant(base / build.CACHE_NAME, key_of(compiler))
    if others.startswith("owner"):
        if os.getuid():
            pytest.skip("only root can give a folder away")
        if others == "owner":
            os.chown(base.parent, 1, 1)
        else:
            os.symlink(base, tmp_path / "link")
            os.chown(tmp_path / "link", 1, 1, follow_symlinks=False)
            base = tmp_path / "link"
    else:
        monkeypatch.setattr(permissions, "_is_own_group", lambda group: False)
        base.parent.chmod(0o777 if others == "world-writable" else 0o775)
    monkeypatch.setenv("XDG_CACHE_HOME", str(base))
    build._warn_once.cache_clear()
    for _ in range(2):
        library = build.library_path()
        assert library.read_text() == "built\n" and temporary in library.parents
    assert planted.read_text() == "planted" and compiler.read_text() == "call\n"
    said = "belongs to another user" if others.startswith("owner") else "can be written by other users"
    assert [said in record.getMessage() for record in caplog.records] == [True]


def test_a_file_that_others_may_write_is_compiled_anew(compiler, tmp_path):
    folder = tmp_path / "cache"
    planted = plant(folder, key_of(compiler))
    planted.chmod(0o666)
    assert build.library_path(folder).read_text() == "built\n" and not planted.exists()
    (folder / planted.name).symlink_to(plant(tmp_path / "elsewhere", "key"))
    assert build.library_path(folder).read_text() == "built\n" and compiler.read_text() == "call\n"


@pytest.mark.parametrize("damage", [lambda data: data[:3], lambda data: b"", lambda data: b"B" + data[1:]])
def test_a_damaged_library_is_compiled_anew(compiler, tmp_path, damage):
    """At fc5fcf9 a truncated one ended the process with SIGBUS."""
    library = build.library_path(tmp_path / "cache")
    library.write_bytes(damage(library.read_bytes()))
    assert build.library_path(tmp_path / "cache").read_text() == "built\n"
    assert compiler.read_text() == "call\ncall\n"


def test_folders_that_only_this_user_and_root_may_write(tmp_path, monkeypatch):
    sticky, own = tmp_path / "tmp", tmp_path / "tmp" / "own"
    own.mkdir(parents=True)
    assert why_unsafe(own) == ""
    sticky.chmod(0o1777)
    assert why_unsafe(own) == "" and why_unsafe(sticky) == f"{sticky} can be written by other users"
    (tmp_path / "link").symlink_to(own)
    assert why_unsafe(tmp_path / "link") == ""
    sticky.chmod(0o777)
    assert why_unsafe(tmp_path / "link") == f"{sticky} can be written by other users"
    sticky.chmod(0o775)
    monkeypatch.setattr(permissions, "_is_own_group", lambda group: True)
    assert why_unsafe(own) == ""
