"""Exported folders as other programs open them: layout, metadata, model card and its client code."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest

from src.errors import UserError
from src.infer.onnx.metadata import weights_digest
from src.infer.onnx.session import OnnxModel
from src.stages.evaluation.benchmark import quality_of
from src.stages.serving.predict import Classifier
from src.stages.serving.tag import Tagger
from src.tools.evaluate import main as evaluate
from src.tools.export import main as export
from tests import tiny

TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "vocab.txt"}
HUB = {"fp32": "model.onnx", "int8": "model_quantized.onnx", "int8-dynamic": "model_quantized.onnx"}
TEXT = "bade loso deki muzu"


@pytest.fixture(scope="module")
def model(tmp_path_factory, vocabulary):
    folder = tiny.write_model(tmp_path_factory.mktemp("model") / "tiny", vocabulary)
    (folder / "eval_results.json").write_text('{"eval_accuracy": 0.875, "eval_samples": 13}')
    return folder


def run(model, out, *flags, **values):
    export([*tiny.flags(model_dir=model, output_dir=out, kernels="off", **values), *flags])
    return out


@pytest.fixture(scope="module", params=HUB)
def hub(request, tmp_path_factory, model, sst2):
    """(folder, precision) in the layout hub."""
    flags = {"calibration_data": sst2, "calibration_rows": 20} if request.param == "int8" else {}
    out = tmp_path_factory.mktemp("hub") / "out"
    return run(model, out, layout="hub", precision=request.param, **flags), request.param


def test_the_layout_hub(hub):
    folder, precision = hub
    assert set(os.listdir(folder)) >= {"config.json", "onnx", "README.md", *TOKENIZER}
    assert os.listdir(folder / "onnx") == [HUB[precision]]
    values = json.loads((folder / "config.json").read_text())
    assert values["export"] == {"format": "onnx", "precision": precision, "layout": "hub"}
    assert values["transformers.js_config"] == {"dtype": "fp32" if precision == "fp32" else "q8"}
    assert values["id2label"] == {"0": "0", "1": "1"}
    assert (folder / "onnx").stat().st_mode & 0o111
    tiny.assert_overwritable(folder)


def test_it_is_read_like_the_flat_one(hub, model, tmp_path, sst2, capsys):
    folder, precision = hub
    flags = {"calibration_data": sst2, "calibration_rows": 20} if precision == "int8" else {}
    flat = run(model, tmp_path / "flat", precision=precision, **flags)
    texts = ["bade ki", TEXT]
    classifiers = [Classifier(path) for path in (folder, flat)]
    values = [classifier.predict(texts).values for classifier in classifiers]
    np.testing.assert_array_equal(*values)
    assert {classifier.model.precision for classifier in classifiers} == {precision}
    capsys.readouterr()
    for path in (folder, flat):
        evaluate(tiny.flags(model_dir=path, task_name="SST-2", eval_data_dir=sst2))
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and (folder / "eval_results.json").is_file()
    assert quality_of(classifiers[0].model.folder) == ("accuracy", json.loads(first)["eval_accuracy"])
    (folder / "eval_results.json").unlink()


def test_a_folder_of_another_program_with_the_model_below(hub, tmp_path):
    """Without weights and without our entry in config.json, onnx/ is where the model is."""
    folder, precision = hub
    values = json.loads((folder / "config.json").read_text())
    other = tmp_path / "other"
    (other / "onnx").mkdir(parents=True)
    (other / "onnx" / HUB[precision]).write_bytes((folder / "onnx" / HUB[precision]).read_bytes())
    (other / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    del values["export"]
    (other / "config.json").write_text(json.dumps(values))
    assert Classifier(other)([TEXT]) == Classifier(folder)([TEXT])


def test_the_hub_has_no_place_for_mindir(model, tmp_path):
    with pytest.raises(UserError, match="--layout hub requires --format onnx"):
        run(model, tmp_path / "out", layout="hub", format="mindir")
    assert not (tmp_path / "out").exists()


def test_metadata(hub):
    folder, precision = hub
    file = folder / "onnx" / HUB[precision]
    proto = onnx.load(file)
    props = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(props["labels"]) == ["0", "1"] and props["output_mode"] == "classification"
    assert props["max_length"] == "32" and re.fullmatch(r"\d+\.\d+\.\d+", proto.producer_version)
    assert props["weights_sha256"] == weights_digest(file) and len(props["weights_sha256"]) == 64


def test_a_changed_weight_is_noticed(hub, tmp_path):
    folder, precision = hub
    file, batch = tmp_path / "model.onnx", tiny.token_batch()
    proto = onnx.load(folder / "onnx" / HUB[precision])
    proto.doc_string = "the same weights in a file with another field"
    onnx.save(proto, file)
    OnnxModel(file)(*batch)
    weight = max(proto.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weight.raw_data = bytes([weight.raw_data[0] ^ 1]) + weight.raw_data[1:]
    onnx.save(proto, file)
    with pytest.raises(UserError, match="damaged or was changed"):
        OnnxModel(file)
    del proto.metadata_props[:]
    onnx.save(proto, file)
    OnnxModel(file)(*batch)


def client_of(folder):
    """The code in the model card, executed in the folder: what it prints."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    code = code.replace("The text to classify.", TEXT)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_model_card(hub):
    folder, precision = hub
    card = (folder / "README.md").read_text()
    assert re.search(r"labels, in the order of the logits +\| 0, 1 ", card)
    assert re.search(r"accuracy of the model before export +\| 0\.8750, over 13 rows ", card)
    assert f"onnx {precision}" in card and "over 32 rows: logits differ by at most" in card
    assert re.search(r"\| source +\| tiny, model\.safetensors ", card)
    assert re.search(r"\| SHA-256 of the source +\| [0-9a-f]{64} ", card)
    assert "A Bert for text classification: one of the labels, exported by bert-compression" in card
    assert client_of(folder) == Classifier(folder)([TEXT])[0][0]


@pytest.mark.parametrize("output_mode", ["regression", "multi_label", "token_classification"])
def test_the_client_of_other_output_modes(tmp_path, vocabulary, output_mode):
    labels = () if output_mode == "regression" else ("O", "B-it's", 'I-"q"|r')
    config = tiny.TINY.replace(output_mode=output_mode, labels=labels)
    arrays = tiny.random_arrays(config, spread=0.3)
    folder = run(tiny.write_model(tmp_path / "model", vocabulary, config, arrays), tmp_path / "out")
    printed = client_of(folder)
    if output_mode == "token_classification":
        tags = [tag for _, tag in Tagger(folder)([TEXT])[0]]
        assert [tag for token, tag in eval(printed) if not token.startswith("[")] == tags
    elif output_mode == "regression":
        assert float(printed) == pytest.approx(Classifier(folder)([TEXT])[0], abs=1e-5)
    else:
        probabilities = Classifier(folder)([TEXT])[0]
        assert eval(printed) == [label for label, value in probabilities.items() if value > 0.5]


def test_the_client_truncates_long_texts(hub):
    folder, _ = hub
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    code = code.replace("The text to classify.", "loso " * 100)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    with pytest.warns(UserWarning, match="texts truncated to 32 tokens: 1 of 1"):
        expected = Classifier(folder)(["loso " * 100])[0][0]
    assert done.returncode == 0 and done.stdout.strip() == expected


def test_a_model_with_only_a_vocabulary_gets_tokenizer_json(tmp_path, vocabulary):
    model = tiny.write_model(tmp_path / "model", None)
    (model / "vocab.txt").write_bytes((vocabulary / "vocab.txt").read_bytes())
    folder = run(model, tmp_path / "out")
    assert client_of(folder) == Classifier(model)([TEXT])[0][0]
