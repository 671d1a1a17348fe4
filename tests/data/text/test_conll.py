"""CoNLL files: their variants, and a sentence with file and line for each thing that can be wrong."""

import io

import pytest

from src.data.text.conll import Sentence, read_sentences, read_words
from src.errors import UserError
from src.tasks import TaskSpec

PLAIN = (
    "-DOCSTART- -X- -X- O\n\nAnn NNP B-NP B-PER\nLee NNP I-NP I-PER\nleft VBD B-VP O\n\n\n"
    "-DOCSTART- -X- -X- O\nParis NNP B-NP B-LOC\n"
)
TABS = "\ufeffAnn\tB-PER\r\nLee\tI-PER\r\nleft\tO\r\n \t \r\nParis\tB-LOC"
EXPECTED = [Sentence(("Ann", "Lee", "left"), ("B-PER", "I-PER", "O"), 0), Sentence(("Paris",), ("B-LOC",), 0)]


ANY = TaskSpec("any", ("word",), output_mode="token_classification", labels=())
NAMES = TaskSpec(
    "names", ("word",), output_mode="token_classification", labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
)


def written(folder, text, name="train.txt"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def contents(found):
    return [(sentence.words, sentence.tags) for sentence in found.examples]


@pytest.mark.parametrize("text", [PLAIN, TABS])
def test_space_and_tab_separated_columns(tmp_path, text):
    found = read_sentences(written(tmp_path, text), ANY)
    assert contents(found) == [(sentence.words, sentence.tags) for sentence in EXPECTED] and found.labeled


def test_line_numbers_ignore_unicode_separators(tmp_path):
    found = read_sentences(written(tmp_path, PLAIN), ANY)
    assert [sentence.line for sentence in found.examples] == [3, 9]
    odd = read_sentences(written(tmp_path, "New York\tB-LOC\na\u2028b\tO\n"), ANY)
    assert contents(odd) == [(("New York", "a\u2028b"), ("B-LOC", "O"))]


def test_non_ascii_whitespace_belongs_to_words(tmp_path):
    text = "10\u00a0000 B-NUM\n\u3000 O\n\nAnn\tB-PER\t \n\u3000\tO\nto  O \n"
    assert contents(read_sentences(written(tmp_path, text), ANY)) == [
        (("10\u00a0000", "\u3000"), ("B-NUM", "O")),
        (("Ann", "\u3000", "to"), ("B-PER", "O", "O")),
    ]
    with pytest.raises(UserError, match='line 2: "\u00a0" has no tag'):
        read_sentences(written(tmp_path, "Ann O\n\u00a0\n"), ANY)
    assert list(read_words(io.BytesIO("Ann\n\u00a0\n".encode()), "input")) == [("Ann", "\u00a0")]


BROKEN = {
    "alone": ("Ann B-PER\nleft\n", 'line 2: "left" has no tag'),
    "tag": ("Ann B-PER\n\nleft S-PER\n", 'line 3: "S-PER" is not a BIO tag'),
    "unknown": ("Ann B-DAY\n", 'line 1: unknown tag "B-DAY"; known tags are B-LOC'),
    "first": ("Ann I-PER\n", "line 1: I-PER follows neither B-PER nor I-PER .--on_bad_row skip reads"),
    "type": ("Ann B-LOC\nLee I-PER\n", "line 2: I-PER follows"),
    "outside": ("Ann B-PER\nand O\nLee I-PER\n", "line 3: I-PER follows"),
    "sentence": ("Ann B-PER\n\nLee I-PER\n", "line 3: I-PER follows"),
    "bytes": (b"Ann B-PER\n\xff\xfe O\n", "line 2: not UTF-8 .byte 1."),
    "empty": ("Ann\tB-PER\n\tO\n", "line 2: the word is empty"),
}


@pytest.mark.parametrize("text, complaint", BROKEN.values(), ids=BROKEN)
def test_bad_lines(tmp_path, text, complaint):
    with pytest.raises(UserError, match=f"train.txt, {complaint}"):
        read_sentences(written(tmp_path, text), NAMES)


def test_bad_lines_skipped_and_repaired(tmp_path):
    text = "Ann I-PER\nLee I-PER\nin O\nYork I-LOC\n\nBob\n\nParis B-LOC\n"
    found = read_sentences(written(tmp_path, text), NAMES, "skip")
    assert contents(found) == [
        (("Ann", "Lee", "in", "York"), ("B-PER", "I-PER", "O", "B-LOC")),
        (("Paris",), ("B-LOC",)),
    ]
    assert found.bad_rows == [{"line": 6, "reason": '"Bob" has no tag; give a word and its tag'}]
    assert [note["line"] for note in found.repaired] == [1, 4]
    assert found.repaired[0]["reason"] == "I-PER follows neither B-PER nor I-PER, read as B-PER"


def test_max_rows_of_sentences(tmp_path):
    assert len(read_sentences(written(tmp_path, PLAIN), ANY, max_rows=1).examples) == 1
    with pytest.raises(UserError, match="train.txt holds no usable sentence"):
        read_sentences(written(tmp_path, "-DOCSTART- O\n\n"), ANY)
    with pytest.raises(UserError, match="dev.txt does not exist; it should hold the dev sentences of names"):
        read_sentences(tmp_path / "dev.txt", NAMES, split="dev")


def test_test_files_without_tags(tmp_path):
    found = read_sentences(written(tmp_path, "Ann\nleft\n\nParis\n"), NAMES, split="test")
    assert contents(found) == [(("Ann", "left"), None), (("Paris",), None)] and not found.labeled
    assert read_sentences(written(tmp_path, PLAIN), ANY, split="test").labeled


def test_words_for_prediction():
    assert list(read_words(io.BytesIO(b"Ann X\nleft\n\n-DOCSTART- O\nParis Y Z\n"), "input")) == [
        ("Ann", "left"),
        ("Paris",),
    ]
    with pytest.raises(UserError, match="input, line 2: not UTF-8"):
        list(read_words(io.BytesIO(b"Ann\n\xff\n"), "input"))
