"""CLUENER's JSON lines: words with BIO tags, and one sentence for each thing that can be wrong."""

import json

import pytest

from src.data.processors import read_rows
from src.data.text.words import split_words
from src.errors import UserError
from src.tasks import TASKS
from src.tools.prepare import main as prepare
from tests import tiny

CLUENER, TNEWS = TASKS["CLUENER"], TASKS["TNEWS"]
# The first training row as published.
ROW = {
    "text": "浙商银行企业信贷部叶老桂博士则从另一个角度对五道门槛进行了解读。",
    "label": {"name": {"叶老桂": [[9, 11]]}, "company": {"浙商银行": [[0, 3]]}},
}


def written(folder, *rows, name="train.json"):
    (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return folder / name


def test_the_published_row(tmp_path):
    (sentence,) = read_rows(written(tmp_path, ROW), CLUENER).examples
    assert "".join(sentence.words) == ROW["text"] and len(sentence.tags) == len(ROW["text"])
    assert sentence.tags[:4] == ("B-company", "I-company", "I-company", "I-company")
    assert sentence.tags[8:13] == ("O", "B-name", "I-name", "I-name", "O")
    assert set(sentence.tags[12:]) == {"O"}


def test_words_are_those_of_a_tagger(tmp_path):
    """Blanks separate, digits and Latin letters stay together; an entity within a word gets all of it."""
    label = {"name": {"NBA": [[0, 2]]}, "game": {"CS1.6 online": [[8, 19]]}, "company": {"A": [[21, 21]]}}
    row = {"text": "NBA，2012CS1.6 online“A”", "label": label}
    text = read_rows(written(tmp_path, row), CLUENER)
    (sentence,) = text.examples
    assert sentence.words == split_words(row["text"]).words
    assert list(zip(sentence.words, sentence.tags, strict=True)) == [
        ("NBA", "B-name"),
        ("，", "O"),
        ("2012CS1.6", "B-game"),
        ("online“A”", "I-game"),
    ]
    assert [each["reason"] for each in text.repaired] == [
        'game "CS1.6 online" is part of a word and becomes "2012CS1.6 online“A”"',
        'company "A" overlaps another entity and is left out',
    ]


def test_a_test_file_without_labels(tmp_path):
    text = read_rows(written(tmp_path, {"id": 0, "text": "四川敦煌学"}), CLUENER, split="test")
    assert text.examples[0].tags is None and not text.labeled


def test_an_overlapping_entity_is_recorded(tmp_path):
    label = {"company": {"浙商银行": [[0, 3]]}, "organization": {"银行": [[2, 3]]}}
    text = read_rows(written(tmp_path, {**ROW, "label": label}), CLUENER)
    assert text.examples[0].tags[:5] == ("B-company", "I-company", "I-company", "I-company", "O")
    assert text.repaired == [
        {"line": 1, "reason": 'organization "银行" overlaps another entity and is left out'}
    ]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"text": ""}, "text is missing, empty or not a string"),
        ({"text": "叶 老", "label": {"name": {" ": [[1, 1]]}}}, "the entity at characters 1 to 1 is blank"),
        ({"label": None}, "label is not an object of types"),
        ({"label": {"name": {"叶老桂": [[8, 10]]}}}, '"叶老桂" is not at characters 8 to 10'),
        ({"label": {"name": {"叶老桂": [[9, 99]]}}}, "is not at characters 9 to 99"),
        ({"label": {"person": {"叶老桂": [[9, 11]]}}}, 'unknown type "person" of the entity'),
        ({"label": {"name": {"叶老桂": [9, 11]}}}, 'the entities of type "name" are not {text'),
        ({"label": {"name": ["叶老桂"]}}, 'the entities of type "name" are not {text'),
        ({"label": {"name": {"叶老桂": [["9", "11"]]}}}, 'the entities of type "name" are not {text'),
    ],
)
def test_malformed_rows(tmp_path, change, words):
    file = written(tmp_path, ROW, {**ROW, **change})
    with pytest.raises(UserError) as caught:
        read_rows(file, CLUENER)
    assert str(caught.value).startswith(f"{file}, line 2: ") and words in str(caught.value)
    skipped = read_rows(file, CLUENER, "skip")
    assert len(skipped.examples) == 1 and skipped.bad_rows[0]["line"] == 2


def test_prepare_both_tasks(tmp_path):
    vocabulary = tiny.write_vocabulary(tmp_path / "vocabulary", [*tiny.SPECIAL, *sorted(set(ROW["text"]))])
    for name, rows in (
        ("CLUENER", [ROW] * 3),
        ("TNEWS", [{"label": "108", "label_desc": "news_edu", "sentence": ROW["text"], "keywords": ""}] * 3),
    ):
        for split in ("train", "dev"):
            (tmp_path / name).mkdir(exist_ok=True)
            written(tmp_path / name, *rows, name=f"{split}.json")
        out = tmp_path / f"records_{name}"
        prepare(tiny.flags(task_name=name, data_dir=tmp_path / name, vocab_file=vocabulary, output_dir=out))
        manifest = json.loads((out / "manifest.json").read_text())
        assert manifest["files"]["train"]["rows"] == 3 and manifest["max_seq_length"] == 128
        assert manifest["labels"] == list(TASKS[name].labels)
