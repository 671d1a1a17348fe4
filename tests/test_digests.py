"""SHA256SUMS: what sha256sum itself writes and verifies, and what a changed file is answered with."""

import json
import os
import subprocess

import numpy as np
import pytest

from src.digests import SUMS_FILE, check_digest, is_intact, sums_of, with_digest
from src.errors import UserError
from src.files import atomic_directory, write_json
from src.json_reader import read_json


def test_a_folder_has_the_sums_that_sha256sum_writes(tmp_path):
    folder = tmp_path / "best"
    with atomic_directory(folder) as temporary:
        for name in ("b.txt", "a b.json", "ü.bin"):
            (temporary / name).write_text(f'"{name}"')
        (temporary / ".hidden").write_text("")
    written = subprocess.run(["sha256sum", "a b.json", "b.txt", "ü.bin"], cwd=folder, capture_output=True)
    assert (folder / SUMS_FILE).read_bytes() == written.stdout
    verified = subprocess.run(["sha256sum", "-c", SUMS_FILE], cwd=folder, capture_output=True, text=True)
    assert verified.returncode == 0 and verified.stdout.count(": OK") == 3
    # Both forms that coreutils writes are read.
    for form in ("--text", "--binary"):
        with open(folder / SUMS_FILE, "wb") as file:
            subprocess.run(["sha256sum", form, "b.txt"], cwd=folder, stdout=file)
        check_digest(folder / "b.txt")
        assert sums_of(folder, {"b.txt": "0"}).startswith(sums_of(folder).split("\n")[0])


def test_a_folder_of_another_writer_may_vanish(tmp_path, monkeypatch):
    (tmp_path / "phase").mkdir()
    (tmp_path / "phase" / "a.txt").write_text("a")
    expected = sums_of(tmp_path)
    (tmp_path / ".b.txt.0123abcd.part").mkdir()
    scandir = os.scandir

    def vanish(path):
        if ".part" in str(path):
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanish)
    assert sums_of(tmp_path) == expected and "phase/a.txt" in expected


def test_a_changed_file_is_one_sentence(tmp_path):
    write_json(tmp_path / "config.json", {"hidden_size": 4})
    (tmp_path / SUMS_FILE).write_text(sums_of(tmp_path))
    assert read_json(tmp_path / "config.json") == {"hidden_size": 4}
    (tmp_path / "unlisted.json").write_text("1")
    assert read_json(tmp_path / "unlisted.json") == 1
    write_json(tmp_path / "config.json", {"hidden_size": 5})
    with pytest.raises(
        UserError, match="config.json differs from its digest in SHA256SUMS: the file was dam"
    ):
        read_json(tmp_path / "config.json")
    (tmp_path / SUMS_FILE).unlink()
    assert read_json(tmp_path / "config.json") == {"hidden_size": 5}


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"12 a\n", b"x" * 64 + b"  a\n", b"0" * 63 + b"\n"])
def test_a_damaged_list_names_its_line(tmp_path, content):
    (tmp_path / "a.json").write_text("1")
    (tmp_path / SUMS_FILE).write_bytes(sums_of(tmp_path).encode() + content)
    with pytest.raises(UserError, match="SHA256SUMS, line 2 is not a digest and a name"):
        read_json(tmp_path / "a.json")


def test_the_list_itself_with_flipped_bits(tmp_path):
    (tmp_path / "a.json").write_text("1")
    sums = sums_of(tmp_path).encode()
    draw = np.random.default_rng(0)
    for place in draw.integers(0, 8 * len(sums), 200):
        damaged = bytearray(sums)
        damaged[place // 8] ^= 1 << place % 8
        (tmp_path / SUMS_FILE).write_bytes(damaged)
        try:
            assert read_json(tmp_path / "a.json") == 1
        except UserError as error:
            assert SUMS_FILE in str(error)


def test_a_huge_list_is_not_read(tmp_path):
    (tmp_path / "a.json").write_text("1")
    with open(tmp_path / SUMS_FILE, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="is not a list of digests"):
        read_json(tmp_path / "a.json")


def test_an_object_with_its_own_digest():
    values = {"rows": 3, "share": 0.1, "names": ["a"]}
    written = json.loads(json.dumps(with_digest(values)))
    assert is_intact(written) and is_intact(values)
    assert not is_intact({**written, "rows": 4})
    assert not any(map(is_intact, ([], {}, None, 3, {**written, "digest": 5})))
