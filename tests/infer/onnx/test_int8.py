"""The int8 file: weights stored once as int8, integer matmuls, and the logits of the NumPy reference."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from src.config.quantization import Quantization
from src.errors import UserError
from src.infer.onnx import session as onnx_session
from src.infer.onnx.bert import bert_model
from src.infer.onnx.int8 import layers_of
from src.infer.onnx.session import OnnxModel, count_matmuls
from tests import tiny
from tests.infer.integer_bert import IntegerBert

SCHEMES = {
    "8 bits": Quantization(),
    "per channel": Quantization(per_channel=True),
    "4, 3 and 6 bits": Quantization(weight_bits=4, embedding_bits=3, activation_bits=6),
    "float classifier": Quantization(quantize_classifier=False),
    "float layers": Quantization(
        float_layers=("bert.embeddings.word_embeddings", "bert.encoder.layer.1.attention.self.key")
    ),
}
DENSE = 6 * tiny.TINY.num_hidden_layers + 2
# Nearly all values round the same way in both; one near a boundary may not, which shifts its row by STEP.
CLOSE, STEP = 1e-4, 0.05


@pytest.fixture(scope="module")
def ranges():
    """Input ranges of the tiny model, measured on a batch that other batches exceed."""
    observer = RangeObserver(tiny.TINY, tiny.random_arrays(tiny.TINY))
    observer(*tiny.token_batch(rows=4, length=8, seed=1))
    return {f"{name}.input_threshold": np.full(1, x, np.float32) for name, x in observer.largest.items()}


def write(folder, quantization, ranges):
    """(config, arrays, path of the int8 file) of the tiny model."""
    config = tiny.TINY.replace(quantization=quantization)
    arrays = {**tiny.random_arrays(tiny.TINY), **ranges}
    file = folder / "model.onnx"
    file.write_bytes(bert_model(config, arrays, layers_of(quantization)).SerializeToString())
    return config, arrays, file


@pytest.mark.parametrize("quantization", SCHEMES.values(), ids=SCHEMES)
def test_logits_match_the_integer_reference(tmp_path, quantization, ranges):
    config, arrays, file = write(tmp_path, quantization, ranges)
    batch = tiny.token_batch(rows=24, length=16, seed=2)
    expected = IntegerBert(config, arrays)(*batch)
    difference = np.abs(OnnxModel(file, 1)(*batch) - expected).max(axis=1)
    assert np.median(difference) < CLOSE and difference.max() < STEP
    # The comparison is sensitive: without quantization the logits differ.
    floats = tmp_path / "floats.onnx"
    floats.write_bytes(bert_model(tiny.TINY, arrays).SerializeToString())
    assert np.median(np.abs(OnnxModel(floats, 1)(*batch) - expected).max(axis=1)) > 10 * CLOSE


@pytest.mark.parametrize("name", ["8 bits", "per channel"])
def test_every_dense_layer_is_an_integer_matmul(tmp_path, name, ranges):
    file = write(tmp_path, SCHEMES[name], ranges)[2]
    # The float ones are the two matmuls inside the attention of each layer.
    assert count_matmuls(file) == (DENSE, 2 * tiny.TINY.num_hidden_layers)


@pytest.mark.parametrize("name", ["8 bits", "per channel"])
def test_a_processor_without_int8_dot_products(tmp_path, name, ranges, monkeypatch):
    file, batch = write(tmp_path, SCHEMES[name], ranges)[2], tiny.token_batch(rows=24, length=16, seed=2)
    expected, key = OnnxModel(file, 1)(*batch), "session.x64quantprecision"
    monkeypatch.setattr(onnx_session, "instructions", lambda: ["avx2"])
    model = OnnxModel(file, 1)
    assert model.session.get_session_options().get_session_config_entry(key) == "1"
    np.testing.assert_array_equal(model(*batch), expected)


def test_float_layers_are_float_matmuls(tmp_path, ranges):
    _, _, file = write(tmp_path, SCHEMES["float layers"], ranges)
    assert count_matmuls(file) == (DENSE - 1, 2 * tiny.TINY.num_hidden_layers + 1)
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(file).graph.initializer}
    for name in SCHEMES["float layers"].float_layers:
        assert kinds[f"{name}.weight"] == TensorProto.FLOAT
    assert kinds["bert.embeddings.position_embeddings.weight"] == TensorProto.INT8


def test_weights_are_stored_once_in_int8(ranges):
    quantization = SCHEMES["8 bits"]
    model = bert_model(tiny.TINY, {**tiny.random_arrays(tiny.TINY), **ranges}, layers_of(quantization))
    kinds = {TensorProto.INT8: 0, TensorProto.FLOAT: 0}
    for constant in model.graph.initializer:
        if len(constant.dims) == 2:
            kinds[constant.data_type] += 1
    assert kinds == {TensorProto.INT8: DENSE + 3, TensorProto.FLOAT: 0}


def test_query_key_and_value_share_their_quantized_input(ranges):
    model = bert_model(tiny.TINY, {**tiny.random_arrays(tiny.TINY), **ranges}, layers_of(Quantization()))
    quantized = [node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"]
    # One for the first layer's three, two for the last one's, whose query is [CLS] only.
    assert len(quantized) == DENSE - 2 - 1


def test_inputs_beyond_their_range_are_clipped(tmp_path, ranges):
    narrow = {name: value / 3 for name, value in ranges.items()}
    config, arrays, file = write(tmp_path, Quantization(), narrow)
    batch = tiny.token_batch(rows=24, length=16, seed=2)
    # The ends are -128 and 127 steps: clipped at -127, rows would differ by more.
    difference = np.abs(OnnxModel(file, 1)(*batch) - IntegerBert(config, arrays)(*batch)).max(axis=1)
    assert np.median(difference) < CLOSE
    assert "Clip" not in {node.op_type for node in onnx.load(file).graph.node}


@pytest.mark.parametrize("value", [None, np.zeros(1, np.float32)])
def test_a_layer_without_a_range(ranges, value):
    arrays = {**tiny.random_arrays(tiny.TINY), **ranges}
    arrays["bert.pooler.dense.input_threshold"] = value
    with pytest.raises(
        UserError, match="bert.pooler.dense has no input range; measure them with .*--epoch_num 0"
    ):
        bert_model(tiny.TINY, arrays, layers_of(Quantization()))


class RangeObserver(IntegerBert):
    """The reference in float, recording the largest |x| of each dense layer's input."""

    def __init__(self, config, arrays):
        super().__init__(config, arrays)
        self.largest = {}

    def dense(self, x, name):
        self.largest[name] = max(self.largest.get(name, 0.0), np.abs(x).max())
        return x @ self.arrays[f"{name}.weight"].T + self.arrays[f"{name}.bias"]

    def table(self, name):
        return self.arrays[f"bert.embeddings.{name}_embeddings.weight"]
