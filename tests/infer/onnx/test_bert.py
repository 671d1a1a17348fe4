"""BERT written as ONNX in float32: the logits of the MindSpore network, for every batch shape."""

import numpy as np
import pytest

from src.errors import UserError
from src.infer.onnx.bert import bert_model
from src.infer.onnx.session import OnnxModel
from src.infer.predictor import predictor
from src.model.bert import BertClassifier
from src.model.state_dict import load_strict
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
VARIANTS = {
    "default": {},
    "relu head, relu": {"head_activation": "relu", "hidden_act": "relu", "num_hidden_layers": 1},
    "gelu by tanh": {"hidden_act": "gelu_new"},
    "relu head of tokens": {
        "head_activation": "relu",
        "hidden_act": "gelu_new",
        "output_mode": "token_classification",
        "labels": ("O", "B-LOC", "I-LOC"),
    },
    "regression": {"labels": (), "output_mode": "regression"},
}


def onnx_model(folder, config, arrays):
    """The classifier written to a file and opened in ONNX Runtime."""
    file = folder / "model.onnx"
    file.write_bytes(bert_model(config, arrays).SerializeToString())
    return OnnxModel(file, threads=1)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_logits_match_the_network(tmp_path, changes):
    config = tiny.TINY.replace(**changes)
    arrays = tiny.random_arrays(config)
    network = BertClassifier(config)
    load_strict(network, arrays, "tiny")
    expect, model = predictor(network), onnx_model(tmp_path, config, arrays)
    # Length one, odd lengths, and the maximum length.
    for rows, length in ((1, 1), (1, 7), (3, 8), (5, 32)) if not changes else ((3, 8),):
        batch = tiny.token_batch(config, rows, length)
        np.testing.assert_allclose(model(*batch), expect(*batch), atol=1e-4)


def test_inputs_are_named_as_in_transformers(tmp_path):
    session = onnx_model(tmp_path, tiny.TINY, tiny.random_arrays(tiny.TINY)).session
    inputs = {value.name: (value.type, value.shape) for value in session.get_inputs()}
    assert inputs == dict.fromkeys(
        ("input_ids", "token_type_ids", "attention_mask"), ("tensor(int64)", ["batch", "length"])
    )
    assert [(value.name, value.shape) for value in session.get_outputs()] == [("logits", ["batch", 2])]


def test_padding_is_masked(tmp_path):
    model = onnx_model(tmp_path, tiny.TINY, tiny.random_arrays(tiny.TINY))
    ids, segments, mask = tiny.token_batch(rows=1, length=8)
    longer = [np.pad(column, ((0, 0), (0, 9))) for column in (ids, segments, mask)]
    longer[0][:, 8:] = 7
    np.testing.assert_allclose(model(*longer), model(ids, segments, mask), atol=1e-6)


def test_unsupported_models_are_rejected():
    relative = tiny.TINY.replace(use_relative_positions=True)
    with pytest.raises(UserError, match="--format mindir"):
        bert_model(relative, tiny.random_arrays(relative))
    headless = tiny.TINY.replace(labels=())
    with pytest.raises(UserError, match="no head"):
        bert_model(headless, tiny.random_arrays(headless))


def test_a_file_that_is_not_a_model(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        OnnxModel(tmp_path / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match="ONNX Runtime cannot read it"):
        OnnxModel(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["attention_mask", "logits"])
def test_a_file_with_other_inputs_or_outputs(tmp_path, name):
    file, model = tmp_path / "model.onnx", bert_model(tiny.TINY, tiny.random_arrays(tiny.TINY))
    file.write_bytes(model.SerializeToString())
    assert OnnxModel(file).outputs == 2
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["other" if each == name else each for each in names]
    for value in (*model.graph.input, *model.graph.output):
        value.name = "other" if value.name == name else value.name
    file.write_bytes(model.SerializeToString())
    with pytest.raises(
        UserError, match=r"has inputs .*other.* instead of input_ids, .* \(int64\) and logits"
    ):
        OnnxModel(file)


@pytest.mark.reference
def test_logits_match_transformers(tmp_path):
    import torch
    from transformers import BertForSequenceClassification

    from src.weights.huggingface import write_directory

    arrays = tiny.random_arrays(tiny.TINY)
    write_directory(tmp_path / "hf", arrays, tiny.TINY)
    reference = BertForSequenceClassification.from_pretrained(tmp_path / "hf").eval()
    ids, segments, mask = tiny.token_batch(rows=4, length=12)
    with torch.no_grad():
        expected = reference(*map(torch.tensor, (ids, mask, segments))).logits.numpy()
    np.testing.assert_allclose(
        onnx_model(tmp_path, tiny.TINY, arrays)(ids, segments, mask), expected, atol=1e-4
    )
