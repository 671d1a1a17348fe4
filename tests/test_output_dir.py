"""Output folders: what is emptied or replaced, and what is rejected."""

import os

import pytest

from src.digests import SUMS_FILE
from src.errors import UserError
from src.output_dir import MARKER, atomic_output_dir, fresh_output_dir, marker_patterns

WRITTEN = ("best/file", "log.txt", "link/file")


def fill_output_dir(folder):
    """Fill an output folder with files and a link to a folder outside; returns the file in that folder."""
    outside = folder.with_name("outside")
    fresh_output_dir(folder, written=WRITTEN)
    for subfolder in (outside, folder / "best"):
        subfolder.mkdir(parents=True)
        (subfolder / "file").write_text("x")
    (folder / "log.txt").write_text("x")
    (folder / "link").symlink_to(outside)
    return outside / "file"


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_linked_output_folder_is_emptied_in_place(tmp_path):
    """As is required of a mount point."""
    kept, link = fill_output_dir(tmp_path / "disk"), tmp_path / "output"
    link.symlink_to(tmp_path / "disk")
    assert fresh_output_dir(link, overwrite=True) == link
    assert link.is_symlink() and names_in(link) == [MARKER] and kept.read_text() == "x"


def test_user_without_a_home(tmp_path, monkeypatch):
    """Path.home() raises, as in a container that runs under a numeric user id."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    kept = fill_output_dir(tmp_path / "output")
    assert names_in(fresh_output_dir(tmp_path / "output", overwrite=True)) == [MARKER] and kept.is_file()


@pytest.mark.parametrize("name", ["notes", "best/notes", "best/deeper/file", "log.txt/file"])
def test_foreign_file_protects_the_whole_folder(tmp_path, name):
    fill_output_dir(tmp_path / "output")
    (tmp_path / "output" / "log.txt").unlink()
    foreign = tmp_path / "output" / name
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("x")
    with pytest.raises(UserError, match="which this program did not write, so nothing in it is deleted"):
        fresh_output_dir(tmp_path / "output", overwrite=True)
    assert foreign.is_file() and (tmp_path / "output" / "best" / "file").is_file()


@pytest.mark.parametrize(
    "leftover",
    [
        "..bert_compression.json.abcd_123.part",
        ".log.txt.abcd_123.part",
        ".log.txt.abcd_123.part/.tmpXyZ123",
        ".best.abcd_123.part/.tmpXyZ123",
        ".best.abcd_123.part/file",
        ".best.abcd_123.old/.file.abcd_123.part",
    ],
)
def test_leftovers_of_a_killed_run_are_deleted(tmp_path, leftover):
    (fresh_output_dir(tmp_path / "output", written=WRITTEN) / leftover).parent.mkdir(exist_ok=True)
    (tmp_path / "output" / leftover).write_text("x")
    fresh_output_dir(tmp_path / "output", overwrite=True)
    assert {MARKER} <= set(names_in(tmp_path / "output")) <= {MARKER, "..bert_compression.json.abcd_123.part"}


BROKEN = [
    "",
    "[]",
    "[" * 100_000,
    f'{{"written": ["a{"[" * 100_000}"]}}',  # would take fnmatch minutes
    *(
        f'{{"written": {written}}}'
        for written in ('"log.txt"', "[1]", '["../x"]', '["best/../../x"]', '["/x"]', '["."]', '["*"]')
    ),
]


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:30])
def test_broken_marker_file_is_ignored(tmp_path, text):
    fill_output_dir(tmp_path / "output")
    (tmp_path / "x").write_text("x")
    (tmp_path / "output" / MARKER).write_text(text)
    with pytest.raises(
        UserError, match="output has no marker file .* so nothing in it is deleted; give another"
    ):
        fresh_output_dir(tmp_path / "output", overwrite=True)
    assert names_in(tmp_path / "output") == [MARKER, "best", "link", "log.txt"] and (tmp_path / "x").is_file()


def test_linked_marker_file_is_ignored(tmp_path):
    fill_output_dir(tmp_path / "output")
    (tmp_path / "output" / MARKER).rename(tmp_path / "mark")
    (tmp_path / "output" / MARKER).symlink_to(tmp_path / "mark")
    with pytest.raises(UserError, match="has no marker file"):
        fresh_output_dir(tmp_path / "output", overwrite=True)
    assert (tmp_path / "output" / "log.txt").is_file()


def test_atomic_output_dir_replaces_the_target_of_a_link(tmp_path):
    fill_output_dir(tmp_path / "disk")
    (tmp_path / "output").symlink_to(tmp_path / "disk")
    with atomic_output_dir(tmp_path / "output", overwrite=True, written=["new"]) as folder:
        (folder / "new").write_text("x")
        assert (tmp_path / "disk" / "log.txt").is_file()
    assert names_in(tmp_path / "disk") == [MARKER, SUMS_FILE, "new"]
    assert marker_patterns(tmp_path / "output") == ["new", SUMS_FILE]
    assert names_in(tmp_path) == ["disk", "output", "outside"] and (tmp_path / "output").is_symlink()


def test_foreign_file_added_during_the_work_is_not_deleted(tmp_path):
    fill_output_dir(tmp_path / "output")
    with pytest.raises(UserError, match="output contains mine, which this program did not write"):
        with atomic_output_dir(tmp_path / "output", overwrite=True, written=["new"]):
            (tmp_path / "output" / "mine").write_text("x")
    assert names_in(tmp_path / "output") == [MARKER, "best", "link", "log.txt", "mine"]
    assert names_in(tmp_path) == ["output", "outside"]
