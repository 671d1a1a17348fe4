"""Weights under PaddleNLP's names, whose linear weights are (in, out)."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.config.bert_config import BertConfig
from src.stages.model.load import read_model
from src.weights.huggingface import check_weights, expected_shapes
from src.weights.paddle import has_paddle_names
from src.weights.reader import read_weights

CONFIG = BertConfig(
    vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
    max_position_embeddings=16, labels=("a", "b", "c"),
)  # fmt: skip
# The pairs of PaddleNLP's own conversion from Hugging Face's names, most specific first.
TO_PADDLE = {
    "embeddings.LayerNorm": "embeddings.layer_norm",
    "encoder.layer.": "encoder.layers.",
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "linear1",
    "output.dense": "linear2",
    "output.LayerNorm": "norm2",
}


def paddle_name(name, prefix):
    for theirs, ours in TO_PADDLE.items():
        name = name.replace(theirs, ours)
    return prefix + name.removeprefix("bert.") if name.startswith("bert.") else name


def random_arrays(seed=0):
    draw = np.random.default_rng(seed)
    shapes = expected_shapes(CONFIG)
    shapes.update({f"hidden_projection.{layer}.weight": (64, 32) for layer in range(3)})
    shapes.update({f"hidden_projection.{layer}.bias": (64,) for layer in range(3)})
    return {name: draw.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def paddle_arrays(arrays, prefix, transposed):
    """The arrays as PaddleNLP names and lays them out (or with Hugging Face's layout)."""
    renamed = {}
    for name, array in arrays.items():
        theirs = paddle_name(name.replace("hidden_projection", "bert.fit_denses"), prefix)
        linear = array.ndim == 2 and "embeddings" not in name
        renamed[theirs] = np.ascontiguousarray(array.T) if linear and transposed else array
    return renamed


@pytest.mark.parametrize("transposed", [True, False], ids=["(in, out)", "(out, in)"])
@pytest.mark.parametrize("prefix", ["tinybert.", "bert.", "module.tinybert.", ""])
def test_weights_under_paddle_s_names(tmp_path, prefix, transposed):
    arrays = random_arrays()
    save_file(paddle_arrays(arrays, prefix, transposed), str(tmp_path / "model.safetensors"))
    read = read_weights(tmp_path)
    assert set(read.arrays) == set(arrays) and not read.ignored_names
    for name, array in arrays.items():
        np.testing.assert_array_equal(read.arrays[name], array, err_msg=name)
    check_weights(read.arrays, CONFIG, read.source)


def test_a_folder_of_paddlenlp(tmp_path):
    """Its config.json has the model_type tinybert and classes of that name, which are no one else's."""
    arrays = {n: a for n, a in random_arrays().items() if not n.startswith("hidden_projection")}
    save_file(paddle_arrays(arrays, "tinybert.", True), str(tmp_path / "model.safetensors"))
    values = {**CONFIG.to_json_dict(), "model_type": "tinybert", "fit_size": 768, "pool_act": "tanh"}
    values["architectures"] = ["TinyBertForSequenceClassification"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    files = read_model(tmp_path, print)
    assert files.config == CONFIG and files.config.to_json_dict()["model_type"] == "bert"
    check_weights(files.arrays, files.config, files.source)


def test_names_of_other_encoders_are_left_alone():
    assert not has_paddle_names(["bert.encoder.layer.0.intermediate.dense.weight"])
    torch_names = ("self_attn.in_proj_weight", "linear1.weight", "linear2.weight", "norm1.weight")
    assert not has_paddle_names([f"encoder.layers.0.{name}" for name in torch_names])
    bart = ("self_attn.q_proj.weight", "fc1.weight", "self_attn_layer_norm.weight")
    assert not has_paddle_names([f"model.encoder.layers.0.{name}" for name in bart])
