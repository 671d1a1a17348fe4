"""Texts without labels: every format, rows dropped as duplicates or rows of other splits, the dev split."""

import json

import numpy as np
import pytest

from src.data.text.examples import Example, TextFile
from src.data.unlabeled import add_unlabeled, read_unlabeled
from src.errors import UserError
from src.tasks import TASKS, TaskSpec

SINGLE, PAIR = TaskSpec("topics", ("text",)), TASKS["MRPC"]


def text_file(*rows, label="0"):
    return TextFile("labeled", [Example(a, b, label, n) for n, (a, b) in enumerate(rows)], [], 0, True)


def texts_of(examples):
    assert all(example.label is None for example in examples)
    return [(example.text_a, example.text_b) for example in examples]


def jsonl(*rows):
    return "\n".join(map(json.dumps, rows))


FORMATS = {
    "txt": ("\ufefffirst\n\n  second part\t\r\nthird", ["first", "second part", "third"]),
    "csv": ('id,text,label\n1,"first, quoted",x\n2,second,\n', ["first, quoted", "second"]),
    "tsv": ("text\tother\nfirst\ta\nsecond\tb\n", ["first", "second"]),
    "jsonl": (
        jsonl({"text": "first", "label": 3}, {"text": "second"}, {"text": "4"}),
        ["first", "second", "4"],
    ),
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats(tmp_path, suffix):
    content, expected = FORMATS[suffix]
    file = tmp_path / f"logs.{suffix}"
    file.write_bytes(content.encode())
    found = read_unlabeled([str(file)], SINGLE, {})
    assert texts_of(found.examples) == [(text, None) for text in expected]
    assert found.read == len(expected) and found.dropped == {}


@pytest.mark.parametrize(
    "name, content",
    [("p.txt", "one\ttwo\n\nthree\tfour\n"), ("p.csv", "#2 String,#1 String\ntwo,one\nfour,three\n")],
)
def test_pairs(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    found = read_unlabeled([str(tmp_path / name)], PAIR, {})
    assert texts_of(found.examples) == [("one", "two"), ("three", "four")]


def test_rows_of_other_splits_and_duplicates_are_dropped_and_counted(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("one\t two\none\tone\ntwo\tone\n")
    second.write_text(
        "new  text\tx\nnew text\tx\nin dev\tx\nin both\tx\nONE\ttwo\nnew\tX\nin train\tx\nin test\tx\n"
    )
    texts = {
        "train": text_file(("one", "two"), ("in both", "x"), ("in  train", "x")),
        "dev": text_file(("in\tdev", "x"), ("in both", "x")),
        "test": text_file(("in test", "x"), label=None),
    }
    found = read_unlabeled([f"{first},{second}"], PAIR, texts)
    kept = [("one", "one"), ("two", "one"), ("new  text", "x"), ("new", "X")]
    assert texts_of(found.examples) == kept
    assert found.read == 11 and found.dropped == {"train": 3, "dev": 2, "test": 1, "duplicates": 1}
    together = add_unlabeled(texts, found, ("dev",), 0.5, 1)
    assert list(together) == ["train", "dev", "test"] and together["dev"] is texts["dev"]
    assert [row.label for row in together["train"].examples] == ["0"] * 3 + [None] * 4


def test_a_dev_set_is_split_off_where_there_is_none(tmp_path):
    file = tmp_path / "logs.txt"
    file.write_text("".join(f"text {n}\n" for n in range(40)))
    found = read_unlabeled([str(file)], SINGLE, {})
    splits = [add_unlabeled({}, found, names, 0.25, seed) for names, seed in
              ((("dev",), 1), (("dev",), 1), (("dev",), 2), (("one", "two"), 1))]  # fmt: skip
    by_split = [{name: texts_of(text.examples) for name, text in split.items()} for split in splits]
    assert by_split[0] == by_split[1] != by_split[2]
    assert [len(by_split[0][name]) for name in ("train", "dev")] == [30, 10]
    for split in by_split:
        rows = [row for part in split.values() for row in part]
        assert len(rows) == len(set(rows)) == 40
    assert [len(by_split[3][name]) for name in ("train", "one", "two")] == [30, 5, 5]
    with pytest.raises(UserError, match="logs.txt: 1 texts are too few to split off a dev set"):
        add_unlabeled({}, read_unlabeled([str(file)], SINGLE, {}, max_rows=1), ("dev",), 0.1, 1)


def test_bad_rows_are_listed(tmp_path):
    (tmp_path / "p.txt").write_bytes(b"one\ttwo\nalone\nthree\t\n\xff\tx\na\tb\n")
    (tmp_path / "p.csv").write_text("#1 String,#2 String\nonly,\nfine,too\n")
    files = [str(tmp_path / "p.txt"), str(tmp_path / "p.csv")]
    with pytest.raises(UserError, match="p.txt, line 2: MRPC has pairs; separate two texts by a tab"):
        read_unlabeled(files, PAIR, {})
    found = read_unlabeled(files, PAIR, {}, "skip")
    assert texts_of(found.examples) == [("one", "two"), ("a", "b"), ("fine", "too")]
    assert [(bad["file"], bad["line"]) for bad in found.bad_rows] == [
        ("p.txt", 2), ("p.txt", 3), ("p.txt", 4), ("p.csv", 2),
    ]  # fmt: skip


ERRORS = {
    "absent": ("none.txt", "none.txt does not exist"),
    "absent table": ("none.csv", "none.csv does not exist"),
    "pair": ("pair.txt", "pair.txt, line 2: topics has single texts; replace the tab, which separates two"),
    "third text": ("three.txt", "three.txt, line 1: 3 columns; give one text per line, or two"),
    "suffix": ("logs.xlsx", "logs.xlsx has no supported suffix; name it .txt"),
    "empty": ("empty.txt", "empty.txt holds no usable row"),
    "column": ("other.csv", "the header lacks text"),
    "known": ("known.txt", "known.txt: every text is also a labeled row or a row of dev"),
}


@pytest.mark.parametrize("name, complaint", ERRORS.values(), ids=ERRORS)
def test_errors(tmp_path, name, complaint):
    contents = {
        "pair.txt": "x\nx\ty\n",
        "three.txt": "x\ty\tz\n",
        "logs.xlsx": "x\n",
        "empty.txt": "\n \n",
        "other.csv": "body\nx\n",
        "known.txt": "a  b\na b\n",
    }
    for file, content in contents.items():
        (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=complaint):
        read_unlabeled([str(tmp_path / name)], SINGLE, {"dev": text_file(("a b", None))})


def test_tagged_words(tmp_path):
    with pytest.raises(UserError, match="does not apply to CLUENER, whose texts are words"):
        read_unlabeled([str(tmp_path / "a.txt")], TASKS["CLUENER"], {})


def test_labels_of_mixed_rows(vocabulary):
    from src.data.tokenization.features import encode_examples
    from src.data.tokenization.tokenizer import load_tokenizer

    rows = [Example("baba", None, label, 1) for label in ("1", None, "0")]
    tokenizer = load_tokenizer(vocabulary)
    assert encode_examples(rows, tokenizer, SINGLE, 16)[0].labels.tolist() == [1, -100, 0]
    scores = encode_examples(rows, tokenizer, TASKS["STS-B"], 16)[0].labels
    np.testing.assert_array_equal(scores, np.array([1, np.nan, 0], np.float32))
    assert encode_examples(rows[1:2], tokenizer, SINGLE, 16)[0].labels is None
