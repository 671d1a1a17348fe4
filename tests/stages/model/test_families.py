"""DistilBERT, RoBERTa, XLM-RoBERTa, CamemBERT and ELECTRA: the logits of transformers, there and back."""

import json

import numpy as np
import pytest
from mindspore import Tensor

from src.infer.onnx.bert import bert_model
from src.infer.onnx.session import OnnxModel
from src.infer.predictor import predictor
from src.stages.model.device import DeviceSetup
from src.stages.model.inference import task_of
from src.stages.model.load import load_classifier, read_model
from src.stages.model.masked_lm import has_mlm_head, load_masked_lm, read_masked_lm
from src.tools.convert import main as convert
from src.weights.huggingface import drop_unused_pooler
from tests import families, tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
TOLERANCE = 2e-5
ENTRIES = families.entries()
CASES = [tuple(case.split()) for case in ENTRIES]
CPU = DeviceSetup("CPU", "float32", "float32")


def silent(text):
    pass


def ours(folder):
    """(the logits of a folder as a function, in MindSpore and in ONNX Runtime)"""
    files = read_model(folder, silent)
    network, config = load_classifier(files, task_of(files), CPU, silent)
    file = folder / "model.onnx.test"
    file.write_bytes(bert_model(config, files.arrays).SerializeToString())
    return predictor(network), OnnxModel(file, 1)


def assert_same(found, expected, columns):
    """The same logits, of real tokens for a head on each token."""
    assert found.shape == expected.shape and np.abs(expected).max() > 0.3
    real = columns[2] > 0 if found.ndim == 3 else slice(None)
    np.testing.assert_allclose(found[real], expected[real], atol=TOLERANCE)


@pytest.mark.parametrize("family, task", CASES)
def test_the_stored_logits(tmp_path, family, task):
    entry = ENTRIES[f"{family} {task}"]
    folder, columns = families.save(tmp_path / "model", entry), families.batch(family, task)
    for predict in ours(folder):
        assert_same(predict(*columns), np.array(entry["logits"]), columns)
    convert(tiny.flags(input=folder, output_dir=tmp_path / "again", to="hf"))
    original, again = (
        json.loads((path / "config.json").read_text()) for path in (folder, tmp_path / "again")
    )
    dropped = ("transformers_version", "label2id", "id2label", "dtype", "use_cache", "is_decoder")
    kept = {key: value for key, value in original.items() if key not in dropped and key in again}
    assert kept == {key: again[key] for key in kept} and {"model_type", "architectures"} <= set(kept)
    written = read_raw(tmp_path / "again")
    for name, array in families.weights(entry["shapes"]).items():
        if "position_embeddings" in name and "distil" not in name and family != "electra":
            assert not written[name][:2].any()  # rows that no token has
            array, written[name] = array[2:], written[name][2:]
        np.testing.assert_array_equal(array, written[name], err_msg=name)
    assert set(written) == set(entry["shapes"])


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def read_raw(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.reference
@pytest.mark.parametrize("family, task", CASES)
def test_live_transformers(tmp_path, family, task):
    import transformers

    model = families.their_model(family, task)
    model.save_pretrained(tmp_path / "model")
    columns = families.batch(family, task)
    expected = families.their_logits(model, columns)
    for predict in ours(tmp_path / "model"):
        assert_same(predict(*columns), expected, columns)
    for to in ("hf", "project"):  # the folders of a run are written as those of --to project
        out = tmp_path / to
        convert(tiny.flags(input=tmp_path / "model", output_dir=out, to=to))
        load = getattr(transformers, f"AutoModel{families.TASKS[task][0]}").from_pretrained
        again, info = load(out, output_loading_info=True)
        assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        assert_same(families.their_logits(again.eval(), columns), expected, columns)
        assert type(again) is type(model) and again.config.id2label == model.config.id2label


@pytest.mark.reference
@pytest.mark.parametrize("family", ["distilbert", "roberta", "camembert"])
def test_masked_words(tmp_path, family):
    import transformers

    config = families.their_model(family, "classification").config
    kind = f"{families.FAMILIES[family].class_prefix}ForMaskedLM"
    model = families.with_weights(getattr(transformers, kind)(config))
    model.save_pretrained(tmp_path)
    files = read_masked_lm(tmp_path, silent)
    assert has_mlm_head(files)
    columns = families.batch(family, "classification")
    expected = families.their_logits(model, columns)
    positions = np.array([1, 3, 8 + 2], np.int32)
    found = load_masked_lm(files, CPU)(*map(Tensor, (*columns, positions))).asnumpy()
    np.testing.assert_allclose(found, expected.reshape(-1, 100)[positions], atol=1e-4)
    # Without its head it has no pooler either, and is written back as it is.
    convert(tiny.flags(input=tmp_path, output_dir=tmp_path / "hf", to="hf"))
    _, info = transformers.AutoModel.from_pretrained(tmp_path / "hf", output_loading_info=True)
    assert not info["unexpected_keys"] and all("pooler" in key for key in info["missing_keys"])


@pytest.mark.parametrize("model_type, kept", [("bert", True), ("roberta", False), ("electra", False)])
def test_the_pooler_of_a_file_without_a_head(model_type, kept):
    """BERT has one, of its classifier; RoBERTa's classifier has a layer of its own, as in transformers."""
    config = tiny.TINY.replace(model_type=model_type)
    weights = {"bert.pooler.dense.weight": np.zeros((32, 32), np.float32)}
    assert bool(drop_unused_pooler(config, weights)[0]) == kept
    head = {"classifier.weight": np.zeros((2, 32), np.float32)}
    assert len(drop_unused_pooler(config, weights | head)[0]) == 2
