"""JSON of unknown origin: limits and stated structures."""

import json
import os
from numbers import Real

import pytest

from src.errors import UserError
from src.json_reader import check_structure, read_json, read_object

HOSTILE = {
    "nothing": ("", "line 1: not valid JSON (Expecting value)"),
    "a number of 5,000 digits": ("[" + "9" * 5000 + "]", "not valid JSON (an integer of 5,000 digits)"),
    "beyond the limit of Python's parser": ("[" * 100_000, "not valid JSON (nested more than 64 deep)"),
    "nested deeply": ("[" * 65 + "]" * 65, "not valid JSON (nested more than 64 deep)"),
    "objects nested deeply": ('{"a":' * 500 + "1" + "}" * 500, "not valid JSON (nested more than 64 deep)"),
    "a repeated key": ('{"a": 1, "b": 2, "a": 3}', 'not valid JSON (duplicate key "a")'),
    "half a line": ('{\n"a": ', "line 2: not valid JSON (Expecting value)"),
    "another encoding": ("é".encode("latin-1"), "cannot be read: byte 1 is not UTF-8"),
    "a null byte": ('{"a": 1}\0', "line 1: not valid JSON (Extra data)"),
}


def file_of(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_one_sentence(name, tmp_path):
    content, words = HOSTILE[name]
    path = file_of(tmp_path, content)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert str(caught.value) in (f"{path}: {words}", f"{path}, {words}", f"{path} {words}")


def test_what_is_within_the_limits_is_read(tmp_path):
    deep = "[" * 64 + "]" * 64
    assert json.dumps(read_json(file_of(tmp_path, deep))) == deep
    wide = {f"key {number}": [[number], {"a": []}] for number in range(1000)}
    assert read_json(file_of(tmp_path, json.dumps(wide))) == wide
    # transformers writes int(1e30) for "no limit".
    assert read_json(file_of(tmp_path, f"[{int(1e30)}, NaN]"))[0] == int(1e30)
    with pytest.raises(UserError, match="longer than 10 bytes"):
        read_json(file_of(tmp_path, "[1, 2, 3, 4]"), max_bytes=10)


def test_a_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(UserError, match="x.json is a FIFO; give a regular file"):
        read_json(tmp_path / "x.json")


STRUCTURE = {
    "rows": int,
    "share?": float,
    "metric?": Real,
    "name?": (str, None),
    "files?": {str: {"sizes": [int]}},
}


@pytest.mark.parametrize(
    "value, words",
    [
        (3, "the content must be an object, not 3"),
        ([], "the content must be an object, not a list"),
        ({}, "the key rows is missing"),
        ({"rows": "3"}, 'rows must be an integer, not "3"'),
        ({"rows": True}, "rows must be an integer, not true"),
        ({"rows": 2.0}, "rows must be an integer, not 2.0"),
        ({"rows": 1 << 63}, "rows must be an integer, not 9223372036854775808"),
        ({"rows": 1, "share": float("nan")}, "share must be a finite number, not NaN"),
        ({"rows": 1, "share": float("-inf")}, "share must be a finite number, not -Infinity"),
        ({"rows": 1, "share": None}, "share must be a finite number, not null"),
        ({"rows": 1, "metric": False}, "metric must be a number, not false"),
        ({"rows": 1, "name": 3}, "name must be a string or null, not 3"),
        ({"rows": 1, "files": {"train": []}}, "files.train must be an object, not a list"),
        ({"rows": 1, "files": {"a": {"sizes": [1, "x"]}}}, 'files.a.sizes[1] must be an integer, not "x"'),
        ({"rows": 1, "files": {"a": {}}}, "the key files.a.sizes is missing"),
    ],
)
def test_another_structure_is_one_sentence_with_the_key(value, words, tmp_path):
    path = file_of(tmp_path, json.dumps(value))
    with pytest.raises(UserError) as caught:
        read_object(path, STRUCTURE, "make it again")
    assert str(caught.value) == f"{path}: {words}; make it again"


def test_the_stated_structure_is_accepted(tmp_path):
    for value in (
        {"rows": 1},
        {"rows": -1, "share": 1, "metric": float("nan"), "name": None, "other": [{}]},
        {
            "rows": (1 << 63) - 1,
            "share": 0.5,
            "name": "x",
            "files": {"a": {"sizes": []}, "b": {"sizes": [1, 2]}},
        },
    ):
        check_structure(value, STRUCTURE, "x")
