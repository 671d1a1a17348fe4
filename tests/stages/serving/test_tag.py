"""Tagging: every input source and output format, against logits computed with the file itself."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from src.data.text.words import joined_words, split_words
from src.entities import predicted_entities
from src.errors import UserError
from src.infer.onnx.bert import bert_model
from src.stages.model.inference import EXPORT
from src.stages.serving.predict import Classifier
from src.stages.serving.tag import Tagger
from src.tools.augment import main as augment
from src.tools.predict import main
from src.weights.huggingface import write_folder
from tests import tiny

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
CONFIG = tiny.TINY.replace(labels=LABELS, output_mode="token_classification", vocab_size=13)
PIECES = [*tiny.SPECIAL, "ann", "lee", "##s", "in", ".", "北", "京", "是"]
TEXT, WORDS = "Anns lee in\t北京 .", ("Anns", "lee", "in", "北", "京", ".")
SPANS = ((0, 4), (5, 8), (9, 11), (12, 13), (13, 14), (15, 16))
IDS, FIRST = [2, 5, 7, 6, 8, 10, 11, 9, 3], [1, 3, 4, 5, 6, 7]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An exported model with random weights."""
    place = tmp_path_factory.mktemp("tagger")
    model = bert_model(CONFIG, tiny.random_arrays(CONFIG, seed=5)).SerializeToString()
    config = {**CONFIG.to_json_dict(), EXPORT: {"format": "onnx", "precision": "fp32"}}
    write_folder(
        place / "onnx",
        lambda folder: (folder / "model.onnx").write_bytes(model),
        config,
        tiny.write_vocabulary(place / "vocabulary", PIECES),
    )
    return place / "onnx"


@pytest.fixture(scope="module")
def tags(folder):
    """The expected tags of WORDS."""
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    ids = np.array([IDS])
    feed = {"input_ids": ids, "token_type_ids": ids * 0, "attention_mask": ids * 0 + 1}
    found = [LABELS[index] for index in session.run(None, feed)[0][0][FIRST].argmax(-1)]
    assert predicted_entities(found), "the weights of another seed should find something"
    return found


def predicted(capsys, folder, **values):
    capsys.readouterr()
    main(tiny.flags(model_dir=folder, **values))
    return capsys.readouterr()


def block(words, tags):
    return "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)) + "\n"


def test_from_python(folder, tags):
    tagger, expected = Tagger(folder, batch_size=2), list(zip(WORDS, tags, strict=True))
    assert tagger([TEXT, "", WORDS, list(WORDS)]) == [expected, [], expected, expected]
    assert tagger([]) == [] and tagger([" "]) == [[]]
    with pytest.raises(UserError, match="give a list of texts"):
        tagger(TEXT)


def test_lines_and_conll_print_one_word_per_line(folder, tags, tmp_path, capsys, monkeypatch):
    (tmp_path / "lines.txt").write_text(f"{TEXT}\n\n{TEXT}\n")
    found = predicted(capsys, folder, input=tmp_path / "lines.txt")
    assert found.out == block(WORDS, tags) + "\n" + block(WORDS, tags)
    (tmp_path / "words.txt").write_text("-DOCSTART- X\n\n" + "".join(f"{word} NN X\n" for word in WORDS))
    conll = {"input_format": "conll", "input": tmp_path / "words.txt"}
    assert predicted(capsys, folder, **conll).out == block(WORDS, tags)
    stdin = SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO((tmp_path / "words.txt").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert predicted(capsys, folder, input_format="conll").out == block(WORDS, tags)


def test_json_has_entities_with_offsets(folder, tags, tmp_path, capsys):
    expected = [
        {
            "type": kind,
            "text": TEXT[SPANS[start][0] : SPANS[end - 1][1]],
            "start": SPANS[start][0],
            "end": SPANS[end - 1][1],
        }
        for kind, start, end in predicted_entities(tags)
    ]
    found = predicted(capsys, folder, text=TEXT, format="json").out
    assert json.loads(found) == {"text": TEXT, "entities": expected}
    (tmp_path / "words.txt").write_text("".join(f"{word}\n" for word in WORDS))
    found = json.loads(
        predicted(capsys, folder, input=tmp_path / "words.txt", input_format="conll", format="json").out
    )
    assert found["text"] == "Anns lee in 北京 ." and len(found["entities"]) == len(expected)
    assert all(found["text"][e["start"] : e["end"]] == e["text"] for e in found["entities"])


def test_truncated_words(folder, capsys):
    found = predicted(capsys, folder, text="ann " * 40)
    assert found.out.splitlines()[30:40] == ["ann\tO"] * 10
    assert found.err == "words beyond 32 tokens, tagged O: 10\n"
    with pytest.warns(UserWarning, match="words beyond 32 tokens, tagged O: 10"):
        Tagger(folder)(["ann " * 40])


def test_rejected_inputs(folder, tmp_path, vocabulary):
    for values, message in (
        ({"text": "a", "text_b": "b"}, "takes single sentences"),
        ({"text": "a", "input_format": "conll"}, "applies to files"),
    ):
        with pytest.raises(UserError, match=message):
            main(tiny.flags(model_dir=folder, **values))
    (tmp_path / "latin").write_bytes(b"baba\nd\xe9\n")
    with pytest.raises(UserError, match="latin, line 2: not UTF-8 .byte 2.$"):  # and no word of --on_bad_row
        main(tiny.flags(model_dir=folder, input_format="conll", input=tmp_path / "latin"))
    with pytest.raises(UserError, match="is a token classification model; use Tagger"):
        Classifier(folder)
    config = {**tiny.TINY.to_json_dict(), EXPORT: {"format": "onnx"}}
    model = bert_model(tiny.TINY, tiny.random_arrays(tiny.TINY)).SerializeToString()
    other = tmp_path / "other"
    write_folder(other, lambda place: (place / "model.onnx").write_bytes(model), config, vocabulary)
    with pytest.raises(UserError, match="classifies whole texts, not tokens; use Classifier"):
        Tagger(other)
    with pytest.raises(UserError, match="--input_format conll requires a token classification model"):
        main(tiny.flags(model_dir=other, input_format="conll", text="a"))


def test_augmentation_is_rejected(tmp_path):
    (tmp_path / "train.txt").write_text("Ann B-PER\n")
    with pytest.raises(
        UserError, match="--task_name sample-ner: augmentation does not support token classification"
    ):
        augment(tiny.flags(task_name="sample-ner", data_dir=tmp_path, mlm_model=tmp_path))


def test_words_of_a_text():
    assert split_words(TEXT) == (TEXT, WORDS, SPANS)
    assert split_words("我爱U.S.").words == ("我", "爱", "U.S.") and split_words(" \t").words == ()
    assert split_words("《NBA》，第1").words == ("《", "NBA", "》", "，", "第", "1")
    assert joined_words(("北", "，", "京", "ok")).text == "北，京 ok"
    assert joined_words(WORDS) == (
        "Anns lee in 北京 .",
        WORDS,
        ((0, 4), (5, 8), (9, 11), (12, 13), (13, 14), (15, 16)),
    )
