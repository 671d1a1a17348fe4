"""Rows of a task of one's own: labels found in them, the split, and what is wrong with a file."""

import json
from collections import Counter

import pytest

from src.config.task.custom import custom_task
from src.data.custom_task import read_custom_task
from src.errors import UserError


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def rows_of(labels):
    return "body,label\n" + "".join(f"text {i},{label}\n" for i, label in enumerate(labels))


def read(folder, text, name="rows.csv", **flags):
    given = {"train_file": written(folder, name, text), "text_columns": ("body",), **flags}
    return read_custom_task(custom_task("", given))


def labels_in(text):
    return [example.label for example in text.examples]


@pytest.mark.parametrize(
    "labels, expected",
    [
        (["b", "a", "c"], ("a", "b", "c")),
        (["10", "9", "-1", "2.5"], ("-1", "2.5", "9", "10")),
        (["x", "3", "20"], ("3", "20", "x")),
    ],
)
def test_labels_are_collected_and_sorted(tmp_path, labels, expected):
    own, _ = read(tmp_path, rows_of(labels * 2))
    assert own.labels == own.spec().labels == expected


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_split_is_stratified(tmp_path, share):
    labels = ["a"] * 40 + ["b"] * 100 + ["c"] * 3
    own, texts = read(tmp_path, rows_of(labels), dev_share=share)
    dev, train = Counter(labels_in(texts["dev"])), Counter(labels_in(texts["train"]))
    assert dev == {"a": 40 * share, "b": 100 * share, "c": max(round(3 * share), 1)}
    assert dev + train == Counter(labels)
    lines = [[example.line for example in texts[split].examples] for split in ("train", "dev")]
    assert all(each == sorted(each) for each in lines) and not set(lines[0]) & set(lines[1])


def test_the_split_depends_on_the_seed_only(tmp_path):
    text = rows_of(["a", "b", "b", "c"] * 30)
    drawn = [[e.line for e in read(tmp_path, text, split_seed=seed)[1]["dev"].examples] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    # Pinned: records of a file have to be the same tomorrow, or the copies of augmentation leak into dev.
    assert drawn[0] == [19, 21, 24, 30, 31, 65, 66, 71, 76, 84, 86, 121]


@pytest.mark.parametrize("mode", ["classification", "regression", "multi_label"])
def test_equal_texts_are_on_one_side(tmp_path, mode):
    """Texts 0 to 29, each twice, in another case and with another label the second time."""
    lines = [f"Text {i},{i % 3}\n" for i in range(30)] + [f" text  {i},{(i + 1) % 3}\n" for i in range(30)]
    _, texts = read(tmp_path, "body,label\n" + "".join(lines), output_mode=mode, dev_share=0.2)
    sides = [
        Counter(example.text_a.split()[1] for example in texts[split].examples) for split in ("train", "dev")
    ]
    assert set(sides[0].values()) == set(sides[1].values()) == {2} and len(sides[1]) == 6


def test_score_split_covers_the_range(tmp_path):
    scores = [(37 * i) % 100 / 10 for i in range(100)]
    own, texts = read(tmp_path, rows_of(scores), output_mode="regression")
    dev = sorted(float(score) for score in labels_in(texts["dev"]))
    assert own.labels == () and len(dev) == 10
    assert [int(score) for score in dev] == list(range(10))
    # A large share too: seven of each ten.
    dev = read(tmp_path, rows_of(scores), output_mode="regression", dev_share=0.7)[1]["dev"]
    assert 60 <= len(dev.examples) <= 70


def test_multi_label_rows(tmp_path):
    rows = [*["a|b"] * 20, *["b"] * 20, *[" a | c "] * 4, *[""] * 10, "d"]
    own, texts = read(tmp_path, rows_of(rows), output_mode="multi_label")
    assert own.labels == ("a", "b", "c", "d")
    # The rarest label of a row is its stratum; the only row of d stays to be trained on.
    assert Counter(labels_in(texts["dev"])) == {"a|b": 2, "b": 2, "a | c": 1, "": 1}
    assert "d" in labels_in(texts["train"])
    other = read(tmp_path, rows_of(["a;b", "b", "a"] * 3), output_mode="multi_label", label_separator=";")
    assert other[0].labels == ("a", "b")
    other = read(tmp_path, rows_of(["a b", "b", "a  b "] * 3), output_mode="multi_label", label_separator=" ")
    assert other[0].labels == ("a", "b")


def test_json_lines_may_hold_a_list_of_labels(tmp_path):
    rows = [
        row
        for number in range(4)
        for row in (
            {"body": f"x{number}", "label": ["a", "b"], "note": 1},
            {"label": [], "body": f"y{number}"},
            {"body": f"z{number}", "label": "b", "note": None},
        )
    ]
    own, texts = read(tmp_path, "\n".join(map(json.dumps, rows)), "rows.jsonl", output_mode="multi_label")
    assert own.labels == ("a", "b")
    assert Counter(labels_in(texts["train"]) + labels_in(texts["dev"])) == {"a|b": 4, "": 4, "b": 4}


def test_given_files_are_not_split(tmp_path):
    dev = written(tmp_path, "dev.tsv", "label\tbody\nb\tnew text\n")
    test = written(tmp_path, "test.csv", "body\nno label here\n")
    own, texts = read(tmp_path, rows_of(["a", "b"]), dev_file=dev, test_file=test)
    assert {split: len(text.examples) for split, text in texts.items()} == {"train": 2, "dev": 1, "test": 1}
    assert not texts["test"].labeled and texts["dev"].examples[0].text_a == "new text"


def test_pairs_of_texts(tmp_path):
    text = "first\tsecond\tlabel\n" + "".join(f"a b\tc{i}\tyes\nd\te{i}\tno\n" for i in range(5))
    _, texts = read(tmp_path, text, "rows.tsv", text_columns=("first", "second"))
    example = texts["train"].examples[0]
    assert (example.text_a, example.text_b) == ("a b", "c0")


MANY = tuple(map(str, range(30)))
BAD = {
    "missing column": ("text,label\nx,a\n", {}, "rows.csv: the header lacks body; .* found text, label"),
    "no label column": ("body,stars\nx,a\n", {}, "rows.csv: the header lacks label"),
    "empty label": ("body,label\nx,a\ny,\n", {}, "rows.csv, line 3: the label in column label is empty"),
    "empty text": ("body,label\n ,a\n", {}, "line 2: the text in column body is empty"),
    "one label": (rows_of("aaaa"), {}, "rows.csv, column label: only the label a found; at least two"),
    "single row": (rows_of("aabbac"), {}, 'line 7: label "c" has a single text'),
    "scores as labels": (rows_of(["1.5", "1.7", "2"]), {}, "dev_file; or are they scores .--output_mode reg"),
    "many labels": (rows_of([*MANY, "z"]), {"labels": MANY}, "are 0, 1, .* 19 and 10 more"),
    "listed labels": (rows_of("abz"), {"labels": ("a", "b")}, 'line 4: label "z" is unknown to'),
    "no number": (rows_of(["1", "2", "high"]), {"output_mode": "regression"}, '4: label "high" is not a'),
    "label twice": (rows_of(["a|b", "b|b"]), {"output_mode": "multi_label"}, 'line 3: "b|b" repeats a'),
    "empty part": (rows_of(["a|b", "b|"]), {"output_mode": "multi_label"}, "line 3: the label in column"),
    "too few": (rows_of(["1"]), {"output_mode": "regression"}, "rows.csv: 1 different texts are too few"),
    "broken label": (rows_of(['"a\nb"', "c"] * 2), {}, r"label: label 'a\\nb' contains a tab or a line"),
    "no labels": (
        rows_of(["", ""]),
        {"output_mode": "multi_label"},
        "column label: no label found; at least two",
    ),
}


@pytest.mark.parametrize("text, flags, complaint", BAD.values(), ids=BAD)
def test_bad_rows(tmp_path, text, flags, complaint):
    with pytest.raises(UserError, match=complaint.replace("|", "[|]")) as error:
        read(tmp_path, text, **flags)
    assert "\n" not in str(error.value)


def test_a_label_that_only_contradicting_rows_have(tmp_path):
    """The text x0 counts for a, so that seeds that hold it back leave no training row of c."""
    text, trained = "body,label\nx0,a\nx1,a\ny0,b\ny1,b\nx0,c\n", []
    for seed in range(1, 9):
        try:
            _, texts = read(tmp_path, text, dev_share=0.5, split_seed=seed)
        except UserError as error:
            assert 'line 6: label "c" is only on texts that other rows label otherwise' in str(error)
            trained.append(False)
        else:
            trained.append("c" in labels_in(texts["train"]))
    assert set(trained) == {True, False}


def test_bad_other_files(tmp_path):
    dev = written(tmp_path, "dev.csv", rows_of("abz"))
    with pytest.raises(UserError, match='dev.csv, line 4: label "z" is unknown to rows, .* are a, b'):
        read(tmp_path, rows_of("ab"), dev_file=dev)
    with pytest.raises(UserError, match="dev.xlsx has no supported suffix; name it .tsv, .csv, .jsonl"):
        read(tmp_path, rows_of("ab"), dev_file="dev.xlsx")
    with pytest.raises(UserError, match="absent.csv does not exist; it should hold the dev rows of rows"):
        read(tmp_path, rows_of("ab"), dev_file="absent.csv")
    lines = '{"body": "x", "label": ["a|b"]}\n'
    with pytest.raises(UserError, match="rows.jsonl, line 1: a label contains the label_separator [|]"):
        read(tmp_path, lines, "rows.jsonl", output_mode="multi_label")
    for odd in ("null", '["b"]'):
        with pytest.raises(UserError, match="line 1: label is not a list of strings"):
            lines = f'{{"body": "x", "label": ["a", {odd}]}}\n'
            read(tmp_path, lines, "rows.jsonl", output_mode="multi_label")
    with pytest.raises(UserError, match="rows.txt, column tag: only the label O found"):
        read(tmp_path, "a O\n\nb O\n", "rows.txt", output_mode="token_classification", text_columns=())


def test_bad_rows_are_skipped(tmp_path):
    file = written(tmp_path, "rows.csv", rows_of(["a", "", "b", "a", "b"]))
    task = custom_task("", {"train_file": file, "text_columns": ("body",)})
    own, texts = read_custom_task(task, on_bad_row="skip")
    assert own.labels == ("a", "b") and [bad["line"] for bad in texts["train"].bad_rows] == [3]
    assert texts["dev"].bad_rows == [] and len(texts["dev"].examples) == 2


def test_two_text_columns_with_a_comma(tmp_path):
    text = "first,second,label\n" + "".join(f"x{i},y{i},{i % 2}\n" for i in range(8))
    task, texts = read(tmp_path, text, text_columns=("first,second",))
    assert task.text_columns == ("first", "second") and texts["train"].examples[0].text_b.startswith("y")
    # A column of that name is taken whole.
    text = '"first,second",label\n' + "".join(f"x{i},{i % 2}\n" for i in range(8))
    task, texts = read(tmp_path, text, text_columns=("first,second",))
    assert task.text_columns == ("first,second",) and texts["train"].examples[0].text_b is None
    with pytest.raises(
        UserError, match="--text_columns first,label: label_column label is also a text column"
    ):
        read(tmp_path, text, text_columns=("first,label",))
    with pytest.raises(UserError, match="--text_columns a,b,c: text_columns names a and b and c"):
        read(tmp_path, text, text_columns=("a,b,c",))
