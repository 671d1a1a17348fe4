"""Prediction: every input source and kind of model folder, predictions in the order of the texts."""

import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from src.data.tokenization.tokenizer import load_tokenizer
from src.digests import SUMS_FILE
from src.errors import UserError
from src.stages.serving.predict import Classifier
from src.tools.export import main as export
from src.tools.predict import main
from tests import tiny

ROOT = Path(__file__).resolve().parents[3]
CONFIG = tiny.TINY.replace(labels=("bad", "good"))
LONG = " ".join(["baba"] * 60)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, vocabulary):
    """One model in three formats: checkpoint, ONNX, MINDIR."""
    folder = tmp_path_factory.mktemp("models")
    tiny.write_model(folder / "weights", vocabulary, CONFIG)
    for kind in ("onnx", "mindir"):
        export(tiny.flags(model_dir=folder / "weights", output_dir=folder / kind, format=kind, kernels="off"))
    return folder


@pytest.fixture
def onnx(folders):
    return folders / "onnx"


def expected(folder, pairs):
    """Probabilities from the ONNX session, one text at a time, with ids assembled by hand."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx")
    tokenizer = load_tokenizer(folder)
    rows = []
    for first, second in pairs:
        ids = [tokenizer.cls_id, *tokenizer.encode([first])[0], tokenizer.sep_id]
        kinds = [0] * len(ids)
        if second is not None:
            more = [*tokenizer.encode([second])[0], tokenizer.sep_id]
            ids, kinds = ids + more, kinds + [1] * len(more)
        columns = {"input_ids": ids, "token_type_ids": kinds, "attention_mask": [1] * len(ids)}
        feed = {name: np.array([column], np.int64) for name, column in columns.items()}
        rows.append(softmax(session.run(None, feed)[0][0]))
    return np.array(rows)


@pytest.mark.parametrize("kind", ["weights", "onnx", "mindir"])
def test_every_kind_of_folder_predicts_in_order(folders, kind):
    rng = np.random.default_rng(0)
    texts = [tiny.sentence(rng, tiny.MARKS["0"], max_words=14) for _ in range(9)]
    pairs = [(text, None) for text in texts] + [(texts[0], texts[1])]
    classifier = Classifier(folders / kind, batch_size=4)
    predictions = classifier([*texts, (texts[0], texts[1])])
    probabilities = expected(folders / "onnx", pairs)
    assert [label for label, _ in predictions] == [CONFIG.labels[row.argmax()] for row in probabilities]
    np.testing.assert_allclose([p for _, p in predictions], probabilities.max(axis=1), atol=1e-4)
    with pytest.raises(UserError, match="give a list of texts"):
        classifier(texts[0])
    assert classifier([]) == [] and classifier(texts[:1]) == [pytest.approx(predictions[0], abs=1e-4)]


def test_a_score(tmp_path, vocabulary, capsys):
    config = tiny.TINY.replace(labels=(), output_mode="regression")
    tiny.write_model(tmp_path / "model", vocabulary, config)
    export(tiny.flags(model_dir=tmp_path / "model", output_dir=tmp_path / "onnx", kernels="off"))
    (score,) = Classifier(tmp_path / "onnx")(["baba"])
    capsys.readouterr()
    main(["--model_dir", str(tmp_path / "onnx"), "--text", "baba", " "])
    lines = capsys.readouterr()
    assert lines.out == f"{score:.6f}\n\n" and "empty texts, printed as empty lines: 1" in lines.err
    main(["--model_dir", str(tmp_path / "onnx"), "--text", "baba", "--format", "json"])
    assert json.loads(capsys.readouterr().out) == {"text": "baba", "score": pytest.approx(score, abs=1e-5)}


def test_arguments(onnx, capsys):
    main(["--model_dir", str(onnx), "--text", "baba dede", "", "kiki"])
    lines = capsys.readouterr()
    found = expected(onnx, [("baba dede", None), ("kiki", None)])
    answers = [f"{CONFIG.labels[row.argmax()]}\t{row.max():.6f}" for row in found]
    assert [line[:-2] for line in lines.out.splitlines()] == [answers[0][:-2], "", answers[1][:-2]]
    main(["--model_dir", str(onnx), "--text", "baba", "--text_b", "dede", "--format", "json"])
    answer, row = json.loads(capsys.readouterr().out), expected(onnx, [("baba", "dede")])[0]
    assert answer["text"] == "baba" and answer["text_b"] == "dede"
    assert answer["probabilities"] == {
        "bad": pytest.approx(row[0], abs=1e-5),
        "good": pytest.approx(row[1], abs=1e-5),
    }
    assert answer["label"] == CONFIG.labels[row.argmax()] and answer["probability"] == max(
        answer["probabilities"].values()
    )


def test_a_file(onnx, tmp_path, capsys):
    file = tmp_path / "texts.txt"
    file.write_bytes(b"\xef\xbb\xbfbaba\tdede\r\n\r\n" + LONG.encode() + b"\nkiki")
    main(["--model_dir", str(onnx), "--input", str(file), "--format", "json"])
    lines = capsys.readouterr()
    answers = [json.loads(line) for line in lines.out.splitlines()]
    assert [answer["text"] for answer in answers] == ["baba", "", LONG, "kiki"]
    assert answers[0]["text_b"] == "dede" and "text_b" not in answers[3]
    assert answers[1]["label"] is None and answers[1]["probabilities"] is None
    how = ", which are all positions of the model (their ends are not read; in a pair the longer"
    assert (
        f"texts truncated to 32 tokens: 1 of 3{how}" in lines.err and "printed as empty lines: 1" in lines.err
    )


def test_the_class_warns_of_truncated_texts(onnx):
    classifier = Classifier(onnx)
    with pytest.warns(UserWarning, match="texts truncated to 32 tokens: 1 of 2, which are all positions"):
        classifier(["kiki", LONG])
    with pytest.warns(UserWarning, match=r"to 16 tokens: 1 of 1 \(their ends"):
        Classifier(onnx, max_seq_length=16)([LONG])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(["kiki", ("baba", "dede")])


def test_standard_input(onnx, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"baba\ndede\n")))
    main(["--model_dir", str(onnx), "--max_seq_length", "8"])
    lines = capsys.readouterr()
    assert len(lines.out.splitlines()) == 2 and not lines.err


def test_chunk_size_does_not_matter(onnx, tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(1)
    texts = [tiny.sentence(rng, tiny.MARKS["1"]) if row % 4 else "" for row in range(11)]
    (tmp_path / "texts").write_text("\n".join(texts) + "\n")
    flags = ["--model_dir", str(onnx), "--input", str(tmp_path / "texts")]
    main(flags)
    whole = capsys.readouterr().out
    monkeypatch.setattr("src.stages.serving.predict.CHUNK", 3)
    main(flags)
    assert capsys.readouterr().out == whole and len(whole.splitlines()) == 11


@pytest.mark.parametrize("kind", ["weights", "onnx"])
def test_a_vocabulary_larger_than_the_model(folders, kind, tmp_path):
    shutil.copytree(folders / kind, tmp_path / "model")
    larger = tiny.write_vocabulary(tmp_path / "vocabulary", [*tiny.VOCABULARY, "more"])
    shutil.copytree(larger, tmp_path / "model", dirs_exist_ok=True)
    (tmp_path / "model" / SUMS_FILE).unlink()
    with pytest.raises(UserError, match="the vocabulary has the id 100, the model next to it 100 word"):
        Classifier(tmp_path / "model")


def test_a_label_that_the_terminal_cannot_print(onnx, tmp_path):
    folder = shutil.copytree(onnx, tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    values["id2label"] = {"0": "sch\xf6n", "1": "gro\xdf"}
    (folder / "config.json").write_text(json.dumps(values))
    (folder / SUMS_FILE).unlink()
    command = [sys.executable, "-m", "src.tools.predict", "--model_dir", folder, "--text", "baba"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.endswith("cannot be written as ascii; set PYTHONIOENCODING=utf-8\n")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("module", ["src", "src.stages.predict", "src.stages.serving.predict"])
def test_an_onnx_file_is_served_without_mindspore(onnx, module):
    blocked = ("mindspore", "onnx", "scipy", "sklearn", "safetensors", "matplotlib")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked})); from {module} import Classifier; "
        f"print(Classifier({str(onnx)!r})(['baba'])[0][0])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() in CONFIG.labels, done.stderr


@pytest.mark.parametrize("kind", ["onnx", "mindir"])
def test_an_exported_file_has_fixed_types(folders, kind):
    for flag in ("--dtype", "--compute_type"):
        with pytest.raises(UserError, match=f"{flag} float16 is not supported for .*model.{kind}: omit it"):
            main(["--model_dir", str(folders / kind), "--text", "a", flag, "float16"])


def test_onnx_runtime_uses_the_cpu(onnx):
    for flags in (["--device_target", "GPU"], ["--matmul_precision", "bf16"]):
        with pytest.raises(UserError, match=f"{' '.join(flags)} is not supported for .*model.onnx: omit it"):
            main(["--model_dir", str(onnx), "--text", "a", *flags])


def test_labels_that_do_not_match_the_file(onnx, tmp_path):
    values = json.loads((onnx / "config.json").read_text())
    shutil.copytree(onnx, tmp_path / "model")
    values["id2label"]["2"] = "odd"
    (tmp_path / "model" / "config.json").write_text(json.dumps(values))
    (tmp_path / "model" / SUMS_FILE).unlink()
    with pytest.raises(UserError, match="model.onnx has 2 outputs, its config.json 3"):
        Classifier(tmp_path / "model")


def test_wrong_sources(onnx, tmp_path):
    (tmp_path / "three").write_text("a\n1\t2\t3\n")
    (tmp_path / "latin").write_bytes(b"baba\nd\xe9d\xe9\n")
    cases = [
        (["--input", tmp_path / "three"], "three, line 2: 3 columns"),
        (["--input", tmp_path / "latin"], "latin, line 2: byte 2 is not UTF-8"),
        (["--input", tmp_path / "none"], "none cannot be read: No such file"),
        (["--text", "a", "--input", "x"], "are mutually exclusive"),
        (["--text", "a", "b", "--text_b", "c"], "--text_b has 1 texts, --text 2"),
        (["--text", "a", os.fsdecode(b"d\xe9d\xe9")], "text 2 of the command line is not UTF-8"),
        (["--text", "a", "--max_seq_length", "64"], "more than the 32 positions"),
        (["--text", "a", "--max_seq_length", "3"], "too short"),
    ]
    for flags, complaint in cases:
        with pytest.raises(UserError, match=complaint):
            main(["--model_dir", str(onnx), *map(str, flags)])


def test_incomplete_folders(folders, tmp_path, vocabulary):
    headless = tiny.write_model(tmp_path / "headless", vocabulary, tiny.TINY.replace(labels=()))
    cases = [
        (tmp_path / "none", "does not exist"),
        (tmp_path, "contains no weights"),
        (headless, "has no head"),
    ]
    for kind, name in (
        ("onnx", "model.onnx"),
        ("mindir", "model.mindir"),
        ("onnx", "config.json"),
        ("onnx", "tokenizer.json"),
    ):
        folder = tmp_path / f"{kind} without {name}"
        folder.mkdir()
        for file in (folders / kind).iterdir():
            if file.name != name and not (name == "tokenizer.json" and file.name == "vocab.txt"):
                (folder / file.name).write_bytes(file.read_bytes())
        missing = "holds neither vocab.txt" if name == "tokenizer.json" else f"{name} does not exist"
        cases.append((folder, missing))
    for folder, complaint in cases:
        with pytest.raises(UserError, match=complaint):
            Classifier(folder)


@pytest.mark.parametrize("item", [None, 3.5, ["a"], ("a", "b", "c")])
def test_what_is_neither_a_text_nor_a_pair(onnx, item):
    with pytest.raises(UserError, match="is neither a text nor a pair of texts$"):
        Classifier(onnx)([item])
