"""Lines of a stretch of bytes, and the division of files into stretches that begin with a document."""

import io

import numpy as np
import pytest

from src.data.corpus import lines as corpus_lines
from src.data.corpus.documents import BadLines, document_lines
from src.data.corpus.files import find_corpus_files
from src.data.corpus.lines import divide, raw_lines


def plain(draw):
    sizes = draw.integers(1, 6, 60)
    lines = ((f"line {i} {'x' * draw.integers(1, 40)}\n" for i in range(size)) for size in sizes)
    return "\n".join("".join(document) for document in lines)


def wikitext(draw):
    return "".join(
        f" \n = Title {i} = \n \n "
        + " \n ".join(["text " * draw.integers(1, 9)] * 3)
        + " \n \n = = Part = = \n \n more \n"
        for i in range(40)
    )


def wikiextractor(draw):
    return "".join(
        f'<doc id="{i}" title="T">\nT\n\n' + "text\n\n" * draw.integers(1, 9) + "</doc>\n" for i in range(40)
    )


def json_lines(draw):
    return "".join(f'{{"text": "one {i}\\n\\n{"x" * draw.integers(1, 90)}"}}\n' for i in range(40))


FORMS = {"plain": plain, "wikitext": wikitext, "wikiextractor": wikiextractor, "json": json_lines}


@pytest.fixture(params=FORMS)
def files(request, tmp_path):
    draw = np.random.default_rng(3)
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(FORMS[request.param](draw))
    return find_corpus_files(tmp_path)


def read(files, shards):
    return [
        (key, text)
        for spans in shards
        for span in spans
        for key, text, _ in document_lines(files[span.file], span, BadLines())
    ]


@pytest.mark.parametrize("num_shards", [1, 2, 3, 7, 50, 1000])
def test_sharding_preserves_documents(files, num_shards):
    shards = divide(files, num_shards)
    assert len(shards) == num_shards
    spans = [span for shard in shards for span in shard]
    for number, file in enumerate(files):
        own = [span for span in spans if span.file == number]
        assert own[0].start == 0 and own[-1].end == file.size
        assert all(one.end == other.start for one, other in zip(own, own[1:], strict=False))
    assert read(files, shards) == read(files, divide(files, 1))


def test_shards_are_balanced(files):
    sizes = [sum(span.end - span.start for span in shard) for shard in divide(files, 4)]
    assert max(sizes) < 1.3 * min(sizes)


def test_an_endless_document_is_split_at_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_lines, "WINDOW", 200)
    text = "".join(f"sentence number {i}\n" for i in range(1000))
    (tmp_path / "a").write_text(text)
    files = find_corpus_files(tmp_path)
    shards = divide(files, 4)
    assert all(len(shard) == 1 for shard in shards)
    lines = read(files, shards)
    assert "".join(line for _, line in lines) == text and len({key for key, _ in lines}) == 4


def test_a_long_doc_block_is_split_and_read_completely(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_lines, "WINDOW", 200)
    (tmp_path / "a").write_text('<doc id="1">\n' + "word\n" * 2000 + "</doc>\n")
    files = find_corpus_files(tmp_path)
    lines = read(files, divide(files, 3))
    assert [text for _, text in lines] == ["word\n"] * 2000


def test_a_single_line_file_is_one_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(corpus_lines, "WINDOW", 200)
    (tmp_path / "a").write_text("word " * 1000)
    (tmp_path / "b").write_text("one\n\ntwo\n")
    files = find_corpus_files(tmp_path)
    shards = divide(files, 5)
    assert [len(shard) for shard in shards].count(0) >= 3
    assert "".join(text for _, text in read(files, shards)) == "word " * 1000 + "one\ntwo\n"


@pytest.mark.parametrize(
    "text, limit",
    [
        ("alpha beta gamma " * 50, 20),
        ("中文字" * 100, 20),
        ("x" * 99, 7),
        ("ab 中文。字" * 40, 11),
        ("é" * 50, 2),
        ("a\nbb\n\nccc", 100),
    ],
)
def test_long_lines_are_split_between_characters(text, limit):
    pieces = list(raw_lines(io.BytesIO(text.encode()), 0, 1 << 30, limit))
    assert "".join(piece.decode() for _, piece in pieces) == text
    assert all(len(piece) <= limit for _, piece in pieces)
    if " " in text and limit == 20:
        assert all(piece.endswith(b" ") for _, piece in pieces)
    assert [offset for offset, _ in pieces] == np.cumsum([0, *(len(p) for _, p in pieces)])[:-1].tolist()
