"""The dynamically quantized file: the logits of NumPy integers, of quantize_dynamic, and its contents."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from src.config.quantization import Quantization
from src.infer.onnx import session as onnx_session
from src.infer.onnx.bert import bert_model
from src.infer.onnx.dynamic import dynamic_layers
from src.infer.onnx.session import OnnxModel, count_matmuls
from tests import tiny
from tests.infer.integer_bert import DynamicBert

SCHEMES = {
    "all": Quantization(per_channel=True, dynamic=True),
    "float layers": Quantization(
        per_channel=True,
        dynamic=True,
        float_layers=("bert.embeddings.word_embeddings", "bert.encoder.layer.1.attention.self.key"),
    ),
}
DENSE = 6 * tiny.TINY.num_hidden_layers + 2
CLOSE, STEP = 1e-4, 0.05  # as in test_int8.py


def write(folder, quantization, **values):
    """(config, arrays, path of the file) of the tiny model."""
    config, arrays = tiny.TINY.replace(quantization=quantization), tiny.random_arrays(tiny.TINY)
    file = folder / "model.onnx"
    model = bert_model(config, arrays, dynamic_layers(quantization, **values))
    file.write_bytes(model.SerializeToString())
    return config, arrays, file


@pytest.mark.parametrize("simulated", [False, True])
@pytest.mark.parametrize("quantization", SCHEMES.values(), ids=SCHEMES)
def test_logits_match_numpy_integers(tmp_path, quantization, simulated):
    config, arrays, file = write(tmp_path, quantization, simulated=simulated)
    batch = tiny.token_batch(rows=24, length=16, seed=2)
    expected = DynamicBert(config, arrays)(*batch)
    difference = np.abs(OnnxModel(file, 1)(*batch) - expected).max(axis=1)
    assert np.median(difference) < CLOSE and difference.max() < STEP
    floats = tmp_path / "floats.onnx"
    floats.write_bytes(bert_model(tiny.TINY, arrays).SerializeToString())
    assert np.median(np.abs(OnnxModel(floats, 1)(*batch) - expected).max(axis=1)) > 10 * CLOSE


def test_logits_match_quantize_dynamic(tmp_path):
    """The library's own file of the same weights, with the tables left in float in both."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    tables = tuple(f"bert.embeddings.{name}_embeddings" for name in ("word", "position", "token_type"))
    quantization = Quantization(per_channel=True, dynamic=True, float_layers=tables)
    _, arrays, file = write(tmp_path, quantization)
    floats, theirs = tmp_path / "floats.onnx", tmp_path / "theirs.onnx"
    floats.write_bytes(bert_model(tiny.TINY, arrays).SerializeToString())
    quantize_dynamic(
        floats, theirs, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
    )
    batch = tiny.token_batch(rows=24, length=16, seed=2)
    difference = np.abs(
        OnnxModel(file, 1)(*batch)
        - onnx_session.open_session(theirs, 1).run(None, onnx_session.input_feed(batch))[0]
    ).max(axis=1)
    assert np.median(difference) < CLOSE and difference.max() < STEP


def test_every_dense_layer_is_an_integer_matmul(tmp_path):
    file = write(tmp_path, SCHEMES["all"])[2]
    assert count_matmuls(file) == (DENSE, 2 * tiny.TINY.num_hidden_layers)
    kinds = [tensor.data_type for tensor in onnx.load(file).graph.initializer if len(tensor.dims) == 2]
    assert kinds == [TensorProto.INT8] * (DENSE + 3)


def test_a_processor_without_int8_dot_products(tmp_path, monkeypatch):
    file, batch = write(tmp_path, SCHEMES["all"])[2], tiny.token_batch(rows=24, length=16, seed=2)
    expected, key = OnnxModel(file, 1)(*batch), "session.x64quantprecision"
    monkeypatch.setattr(onnx_session, "instructions", lambda: ["avx2"])
    model = OnnxModel(file, 1)
    assert model.session.get_session_options().get_session_config_entry(key) == "1"
    np.testing.assert_array_equal(model(*batch), expected)
