"""GloVe files, neighbors, contexts, rows and parts of an augmentation, against NumPy and plain Python."""

import json
import os
import time

import numpy as np
import pytest

from src.data.augmentation import neighbors as neighbors_module
from src.data.augmentation.glove import load_glove
from src.data.augmentation.masked_contexts import ContextForm, pieces_of_words
from src.data.augmentation.neighbors import WordTable, nearest, neighbors_by_pieces, neighbors_in, unit_rows
from src.data.augmentation.parts import Parts
from src.data.augmentation.rows import SeenTexts, row_line, text_hash
from src.data.augmentation.words import find_words
from src.data.text.examples import ExampleFile
from src.data.tokenization.template import Template
from src.errors import UserError
from src.tasks import TASKS


def vectors_of(words, width, seed=0):
    return {word: np.random.default_rng([seed, i]).standard_normal(width) for i, word in enumerate(words)}


def glove_file(path, vectors, first=""):
    lines = [f"{word} {' '.join(f'{x:.6f}' for x in vector)}\n" for word, vector in vectors.items()]
    path.write_text(first + "".join(lines))
    return path


WORDS = ["film", "the", "Movie", "movie", ",", "42", "show", "play", ". . .", "a", "book", "zero", "電"]


@pytest.mark.parametrize("width, first", [(7, ""), (50, "13 50\n")])
def test_glove_matches_a_manual_implementation(tmp_path, width, first):
    vectors = {**vectors_of(WORDS, width), "zero": np.zeros(width)}
    table = load_glove(glove_file(tmp_path / "g.txt", vectors, first), tmp_path)
    assert table.words == ["film", "movie", "show", "play", "book", "zero", "電"]
    assert isinstance(table.vectors, np.memmap)
    for word, written in (("film", "film"), ("movie", "Movie"), ("電", "電")):
        unit = vectors[written] / np.linalg.norm(vectors[written])
        np.testing.assert_allclose(table.vectors[table.row_of[word]], unit, atol=1e-5)
    assert not table.vectors[table.row_of["zero"]].any()


def test_the_binary_copy_is_used_while_the_file_is_unchanged(tmp_path, monkeypatch):
    path = glove_file(tmp_path / "g.txt", vectors_of(WORDS, 5))
    before = load_glove(path, tmp_path)
    monkeypatch.setattr("src.data.augmentation.glove._rows", lambda path: pytest.fail("read again"))
    again = load_glove(path, tmp_path)
    np.testing.assert_array_equal(before.vectors, again.vectors)
    monkeypatch.undo()
    time.sleep(0.01)
    glove_file(path, vectors_of(WORDS, 6))
    assert load_glove(path, tmp_path).vectors.shape[1] == 6
    (tmp_path / "g.txt.vectors.npy").unlink()
    assert load_glove(path, tmp_path).vectors.shape[1] == 6


def test_the_copy_is_written_elsewhere_for_a_read_only_folder(tmp_path, monkeypatch):
    (tmp_path / "source").mkdir()
    (tmp_path / "spare").mkdir()
    path = glove_file(tmp_path / "source" / "g.txt", vectors_of(WORDS, 5))
    monkeypatch.setattr(os, "access", lambda folder, mode: folder != path.parent)
    load_glove(path, tmp_path / "spare")
    assert os.listdir(path.parent) == ["g.txt"] and len(os.listdir(tmp_path / "spare")) == 3


@pytest.mark.parametrize(
    "line, complaint",
    [
        ("show 1 2", "line 3: 2 numbers after the word instead of 4"),
        ("show 1 2 x 4", "line 3: not a word and 4 numbers"),
        ("show 1 2 nan 4", "line 3: the vector has a non-finite number"),
        ("", "line 3: 0 numbers after the word instead of 4"),
    ],
)
def test_a_broken_glove_file_leaves_nothing(tmp_path, line, complaint):
    path = tmp_path / "g.txt"
    path.write_text(f"film 1 2 3 4\nmovie 2 3 4 5\n{line}\nplay 1 1 1 1\n")
    with pytest.raises(UserError, match=f"g.txt, {complaint}"):
        load_glove(path, tmp_path)
    assert os.listdir(tmp_path) == ["g.txt"]


@pytest.mark.parametrize(
    "content, complaint",
    [("", "no word"), ("sentences of text\n", "line 1: not a word and 2 numbers"), ("a 1 2\n", "no word")],
)
def test_not_a_glove_file(tmp_path, content, complaint):
    path = tmp_path / "g.txt"
    path.write_text(content)
    with pytest.raises(UserError, match=complaint):
        load_glove(path, tmp_path)


@pytest.mark.parametrize("block", [7, 100])
def test_neighbors_by_brute_force(monkeypatch, block):
    monkeypatch.setattr(neighbors_module, "BLOCK", block)
    monkeypatch.setattr(neighbors_module, "QUERIES", 3)
    draw = np.random.default_rng(0)
    # Small whole numbers: many equal cosines, which go by row.
    vectors = unit_rows(draw.integers(-1, 2, (40, 3)).astype(np.float32))
    table = WordTable([f"w{i}" for i in range(40)], vectors)
    queries, own = draw.integers(-2, 3, (8, 3)).astype(np.float32), np.array([0, 5, 39, -1, 20, 21, -1, 7])
    found = nearest(table, queries, own, 6)
    for query, row, places in zip(queries, own, found, strict=True):
        scores = vectors @ query
        order = sorted((i for i in range(40) if i != row), key=lambda i: (-scores[i], i))
        np.testing.assert_allclose(scores[places], scores[order[:6]], atol=1e-6)
        assert row not in places and len(set(places)) == 6


def test_ties_between_neighbors_are_broken_by_row():
    table = WordTable(list("abcd"), np.eye(4, dtype=np.float32)[[0, 1, 1, 0]])
    assert nearest(table, np.array([[1, 0, 0, 0]], np.float32), np.array([0]), 3).tolist() == [[3, 1, 2]]


def test_more_neighbors_than_words():
    table = WordTable(["film", "movie", "show"], unit_rows(np.random.default_rng(0).standard_normal((3, 4))))
    found = neighbors_in(table, ["film", "absent", "show"], 15)
    assert set(found) == {"film", "show"} and set(found["film"]) == {"movie", "show"}
    assert neighbors_in(table, ["absent"], 15) == {}


def test_neighbors_in_a_model():
    pieces = ["[PAD]", "film", "movie", "un", "##watch", "##able", "the", "like"]
    vocab = {piece: number for number, piece in enumerate(pieces)}
    embeddings = np.random.default_rng(1).standard_normal((8, 6)).astype(np.float32)
    words = {"film": [1], "unwatchable": [3, 4, 5], "likeable": [7, 5], "unlike": [3, 7]}
    found = neighbors_by_pieces(vocab, embeddings, words, 2)

    def cosine(one, two):
        return one @ two / np.linalg.norm(one) / np.linalg.norm(two)

    single = sorted(("movie", "un", "like"), key=lambda w: -cosine(embeddings[1], embeddings[vocab[w]]))
    assert found["film"] == tuple(single[:2])
    means = {word: embeddings[ids].mean(0) for word, ids in words.items() if len(ids) > 1}
    several = sorted(("likeable", "unlike"), key=lambda w: -cosine(means["unwatchable"], means[w]))
    assert found["unwatchable"] == tuple(several)
    assert neighbors_by_pieces({"[PAD]": 0, "the": 1}, embeddings, {"film": [1]}, 2) == {"film": ()}


# Contexts


SINGLE = Template(((101,), (102,)), ((0,), (0,)), (0,))
PAIR = Template(((101,), (102,), (102,)), ((0,), (0,), (1,)), (0, 1))
# RoBERTa's, which has one segment id.
ROBERTA = Template(((0,), (2, 2), (2,)), ((0,), (0, 0), (0,)), (0, 0))


def test_a_context_is_the_sentence_with_one_piece_masked():
    form = ContextForm(SINGLE, 103, 16)
    assert form.masked([7, 8, 9], 1) == ((101, 7, 103, 9, 102), 5, 2)
    pair = ContextForm(PAIR, 103, 16).masked([7, 8, 9], 1)
    assert pair == ((101, 7, 103, 9, 102, 7, 8, 9, 102), 5, 2)
    assert ContextForm(ROBERTA, 4, 16).masked([7, 8], 1) == ((0, 7, 4, 2, 2, 7, 8, 2), 8, 2)


@pytest.mark.parametrize("pair", [False, True])
def test_a_long_sentence_is_cut_around_the_mask(pair):
    form, ids = ContextForm(PAIR if pair else SINGLE, 103, 13), list(range(200, 240))
    for place in range(40):
        context = form.masked(ids, place)
        assert len(context.ids) == 13 and context.ids[context.position] == 103
        window = list(context.ids[1 : context.first - 1])
        window[context.position - 1] = ids[place]
        assert window == list(range(window[0], window[0] + form.capacity))
        assert context.ids[context.first :] == ((*window, 102) if pair else ())


def test_pieces_of_words(vocabulary):
    from src.data.tokenization.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(vocabulary)
    text = "Badé bade's, 12 deki"
    ((ids, spans),) = tokenizer.encode_with_spans([text])
    words = find_words(text)
    pieces = pieces_of_words(words, spans)
    assert [text[spans[p[0]][0] : spans[p[-1]][1]] for p in pieces] == [word.text for word in words]
    assert ids[pieces[0][0]] == ids[pieces[1][0]] == tokenizer.vocab["bade"] and len(ids) == len(spans)


# Rows and parts


def test_lines_of_every_format():
    values = ['say "a, b"', "1"]
    header = ["sentence", "label"]
    assert row_line(values, header, ".tsv") == 'say "a, b"\t1\n'
    assert row_line(values, header, ".csv") == '"say ""a, b""",1\n'
    assert json.loads(row_line(values, header, ".jsonl")) == {"sentence": 'say "a, b"', "label": "1"}


def test_a_lone_carriage_return_in_a_csv_is_read_again(tmp_path):
    rows = [["two\rlines", "1"], [' "both", ', "0"]]
    lines = [row_line(row, None, ".csv") for row in (["sentence", "label"], *rows)]
    (tmp_path / "train.csv").write_bytes("".join(lines).encode())
    assert [row for row, _ in ExampleFile(tmp_path / "train.csv", TASKS["SST-2"]).rows()] == rows


def test_seen_texts():
    seen = SeenTexts()
    seen.add([text_hash(["a  b "]), text_hash(["c"])])
    hashes = [text_hash(texts) for texts in (["x"], ["a b"], ["x "], ["A b"], ["a", "b"], ["c"])]
    assert seen.unseen(hashes).tolist() == [True, False, False, False, True, False]
    seen.add(hashes)
    assert not seen.unseen(hashes).any() and seen.unseen([]).tolist() == []


def test_parts_are_written_and_joined(tmp_path):
    job = {"seed": 1, "copies": 2}
    parts = Parts(tmp_path / "out.parts", job)
    parts.write(0, ["a\n", "é\n"], [3, 2**64 - 1], {"rows": 2})
    parts.close()
    again = Parts(tmp_path / "out.parts", job)
    assert again.finished(0) and not again.finished(1)
    hashes, counts = again.read(0)
    assert hashes.tolist() == [3, 2**64 - 1] and counts == {"rows": 2}
    again.write(1, [], [], {"rows": 0})
    again.join(tmp_path / "out", ["head\n"], 2)
    assert (tmp_path / "out").read_text() == "head\na\né\n" and os.listdir(tmp_path) == ["out"]


def test_parts_of_another_job_are_rejected_or_deleted(tmp_path):
    Parts(tmp_path / "p", {"seed": 1}).write(0, ["a\n"], [1], {})
    with pytest.raises(UserError, match="with seed 1, not 2"):
        Parts(tmp_path / "p", {"seed": 2})
    (tmp_path / "p" / "mine").write_text("x")
    with pytest.raises(UserError, match="p holds mine, which is not a part, so nothing in it is deleted"):
        Parts(tmp_path / "p", {"seed": 2}, overwrite=True)
    (tmp_path / "p" / "mine").unlink()
    other = Parts(tmp_path / "p", {"seed": 2}, overwrite=True)
    # Nothing is deleted before there is something to keep.
    assert not other.finished(0) and (tmp_path / "p" / "part-00000.txt").is_file()
    other.write(1, ["b\n"], [1], {})
    assert other.finished(1) and not other.finished(0)


def test_an_unrelated_folder_is_left_alone(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="holds other files"):
        Parts(tmp_path / "p", {}, overwrite=True)
    assert os.listdir(tmp_path / "p") == ["mine.txt"]


def test_a_part_without_its_lines_is_not_finished(tmp_path):
    parts = Parts(tmp_path / "p", {})
    parts.write(0, ["a\n"], [1], {})
    (tmp_path / "p" / "part-00000.txt").unlink()
    parts.close()
    assert not Parts(tmp_path / "p", {}).finished(0)
    (tmp_path / "p" / "part-00000.txt").write_text("a\n")
    for content in (b"broken", (tmp_path / "p" / "part-00000.npz").read_bytes()[:40]):
        (tmp_path / "p" / "part-00000.npz").write_bytes(content)
        with pytest.raises(UserError, match="part-00000.npz cannot be read"):
            parts.read(0)
