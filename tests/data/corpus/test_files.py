"""Which files a corpus is made of, and their forms."""

import bz2

import pytest

from src.data.corpus.files import find_corpus_files, fingerprint
from src.errors import UserError

FIRST_LINES = {
    "plain": "The film was good.\n",
    "wikitext": " \n = Homarus gammarus = \n \n",
    "wikiextractor": '\n<doc id="12" url="https://en.wikipedia.org/wiki?curid=12" title="A > B">\nA\n',
    "json": '{"id": "12", "title": "A", "text": "B"}\n',
}
NO_TITLES = ("= = History = =\n", "= 5\n", "<documents>\n", "{curly} words\n", "== Title ==\n")


def write(folder, **texts):
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("form", FIRST_LINES)
def test_format_detection(tmp_path, form):
    (tmp_path / "a").write_text("\n" + FIRST_LINES[form])
    assert find_corpus_files(tmp_path / "a")[0].form == form
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbf" + FIRST_LINES[form].encode())
    assert find_corpus_files(tmp_path / "a")[0].form == form
    assert find_corpus_files(tmp_path / "a", "plain")[0].form == "plain"


def test_a_json_array_is_not_text(tmp_path):
    for text in ('[\n {"text": "A film."}\n]', '[{"text": "A film."}]'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(UserError, match="a.json is a JSON array; write one object a line"):
            find_corpus_files(tmp_path)
    (tmp_path / "a.json").write_text("[1] is a reference.")
    assert find_corpus_files(tmp_path)[0].form == "plain"


@pytest.mark.parametrize("line", NO_TITLES)
def test_format_detection_of_similar_lines(tmp_path, line):
    (tmp_path / "a").write_text(line)
    assert find_corpus_files(tmp_path / "a")[0].form == "plain"


def test_a_folder_is_read_recursively_in_name_order(tmp_path):
    write(tmp_path, b="x", a="x", empty="", **{".hidden": "x"})
    write(tmp_path / "AA", wiki_01="x", wiki_00="x")
    write(tmp_path / ".cache", c="x")
    names = [file.name for file in find_corpus_files(tmp_path)]
    assert names == ["AA/wiki_00", "AA/wiki_01", "a", "b"]


def test_globs_and_lists(tmp_path):
    write(tmp_path, a1="x", a2="x", b="x")
    found = find_corpus_files(f"{tmp_path}/a*")
    assert [file.path.name for file in found] == ["a1", "a2"]
    assert [f.path.name for f in find_corpus_files(f"{tmp_path}/b, {tmp_path}/a1")] == ["a1", "b"]
    (tmp_path / "a,b").write_text("x")
    assert [f.name for f in find_corpus_files(tmp_path / "a,b")] == ["a,b"]


def test_a_trailing_comma_is_ignored(tmp_path, monkeypatch):
    write(tmp_path, mine="x", other="x")
    monkeypatch.chdir(tmp_path)
    assert [f.name for f in find_corpus_files("mine,")] == ["mine"]


def test_nothing_to_read(tmp_path):
    with pytest.raises(UserError, match="absent does not exist"):
        find_corpus_files(tmp_path / "absent")
    with pytest.raises(UserError, match=r"z\* does not exist"):
        find_corpus_files(f"{tmp_path}/z*")
    write(tmp_path, empty="")
    with pytest.raises(UserError, match="holds no text"):
        find_corpus_files(tmp_path)
    (tmp_path / "wiki.bz2").write_bytes(bz2.compress(b"x"))
    with pytest.raises(UserError, match="wiki.bz2 is a bzip2 file; unpack it first"):
        find_corpus_files(tmp_path)


def test_fingerprints_of_different_corpora_differ(tmp_path):
    def of(text):
        (tmp_path / "a").write_text(text)
        return fingerprint(find_corpus_files(tmp_path / "a"))

    prints = [of(text) for text in ("one", "two", "three", "x" * 20000, "x" * 20001, "x" * 19999 + "y")]
    assert len(set(prints)) == len(prints) and of("one") == prints[0]
