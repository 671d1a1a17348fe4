"""A file that is none of ours is named for what it is, with its way out."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.errors import UserError
from src.weights.reader import read_weights

FOREIGN = {
    "tf_model.h5": (
        b"\x89HDF\r\n\x1a\n",
        "Keras model (HDF5); load it with",
        "from_tf=True",
    ),
    "flax_model.msgpack": (b"\x81", "Flax's weights (msgpack); load it with", "from_flax=True"),
    "model.onnx": (
        b"\x08\x07",
        "an ONNX file, which is for inference; predict",
        "export",
    ),
    "model.mindir": (b"\x0a", "a MindIR file, which is for inference", "export"),
    "adapter_model.safetensors": (b"", "a PEFT adapter, which holds changes of", "merge_and_unload"),
    "adapter_model.bin": (b"PK", "a PEFT adapter", "merge_and_unload"),
    "model-q8_0.gguf": (b"GGUF", "a GGUF file (llama.cpp); give the model that it was made from", ""),
    "model_state.pdparams": (b"\x80\x02}.", "Paddle's pickle; load it with PaddleNLP", "model.safetensors"),
    "rust_model.ot": (b"PK", "rust-bert's weights; give the model that it was made from", ""),
    "openvino_model.xml": (b"<?xml ", "an OpenVINO model; give the model that it was made from", ""),
    "openvino_model.bin": (b"\0\0", "an OpenVINO model", ""),
    "training_args.bin": (
        b"PK",
        "the state of a training with transformers",
        "model.safetensors",
    ),
    "optimizer.pt": (b"PK", "the state of a training with transformers", "model.safetensors"),
    "rng_state_0.pth": (b"PK", "the state of a training with transformers", "model.safetensors"),
    "model.tflite": (b"", "a TensorFlow Lite model", ""),
    "saved_model.pb": (b"", "a TensorFlow SavedModel", ""),
}
CONTENT = {
    "hdf5": (b"\x89HDF\r\n\x1a\n", "a Keras model (HDF5)"),
    "gguf": (b"GGUF\3\0\0\0", "a GGUF file"),
    "pointer": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "a Git LFS pointer, not the weights; run `git",
    ),
    "gzip": (b"\x1f\x8b\x08", "a compressed file or an archive; unpack it first"),
    "web page": (b"<!DOCTYPE html><html>", "a web page, as of a failed download"),
    "npy": (b"\x93NUMPY\1\0", "NumPy's arrays"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_by_name(name, tmp_path):
    content, words, way_out = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "config.json").write_text("{}")
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(UserError) as caught:
            read_weights(path)
        message = str(caught.value)
        assert words.partition(";")[0] in message and way_out in message and name in message
    assert "contains no weights; looked for model.safetensors" in message


@pytest.mark.parametrize("name", CONTENT)
def test_by_content(name, tmp_path):
    content, words = CONTENT[name]
    for file in ("model.safetensors", "pytorch_model.bin", "model.ckpt", "weights"):
        (tmp_path / file).write_bytes(content)
        with pytest.raises(UserError) as caught:
            read_weights(tmp_path / file)
        assert words in str(caught.value)


def test_variants_in_another_precision_are_read(tmp_path):
    arrays = {"bert.pooler.dense.bias": np.arange(4, dtype=np.float16)}
    save_file(arrays, str(tmp_path / "model.fp16.safetensors"))
    weights = read_weights(tmp_path)
    assert weights.source.name == "model.fp16.safetensors"
    np.testing.assert_array_equal(weights.arrays["bert.pooler.dense.bias"], np.arange(4, dtype=np.float32))
    save_file(arrays, str(tmp_path / "model.bf16.safetensors"))
    with pytest.raises(UserError, match="contains 2 checkpoints .* give the path of one file"):
        read_weights(tmp_path)
    save_file(arrays, str(tmp_path / "model.safetensors"))
    assert read_weights(tmp_path).source.name == "model.safetensors"


def test_a_shard_alone_is_no_model(tmp_path):
    save_file({"x": np.ones(1, np.float32)}, str(tmp_path / "model-00001-of-00002.safetensors"))
    with pytest.raises(UserError, match="contains no weights"):
        read_weights(tmp_path)


def test_safetensors_under_the_name_of_torch_and_the_reverse(tmp_path):
    save_file({"x": np.ones(1, np.float32)}, str(tmp_path / "pytorch_model.bin"))
    assert set(read_weights(tmp_path).arrays) == {"x"}
