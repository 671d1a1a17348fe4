"""Static quantization: the file against NumPy, its parts against their definitions, outliers."""

import numpy as np
import onnx
import pytest

from src.config.quantization import Quantization, is_range
from src.errors import UserError
from src.infer.onnx.bert import bert_model
from src.infer.onnx.calibration import CalibrationOptions, InputRecorder, calibrate_static
from src.infer.onnx.int8 import layers_of
from src.infer.onnx.session import count_matmuls, onnx_predictor
from tests import tiny
from tests.infer.integer_bert import StaticBert

STATIC = Quantization(per_channel=True, static=True)
DENSE = 6 * tiny.TINY.num_hidden_layers + 2
CLOSE, STEP = 1e-4, 0.05  # as in test_int8.py
BATCHES = [tiny.token_batch(rows=8, length=12, seed=seed) for seed in (1, 2)]
OUTLIERS = (3, 11, 20, 27)
READERS = tuple(f"{name}.weight" for name in ("query", "key", "value", "intermediate.dense", "pooler.dense"))


def with_outliers(scale=20.0):
    """Weights of TINY whose hidden states have four channels that are `scale` times as large."""
    arrays = tiny.random_arrays(tiny.TINY)
    for name in list(arrays):
        if "LayerNorm" in name:
            arrays[name][list(OUTLIERS)] *= scale
        elif name.endswith(READERS):
            arrays[name][:, OUTLIERS] /= scale
    return arrays


def predictor(arrays, quantization=None, simulated=False):
    layers = layers_of(quantization, simulated)
    return onnx_predictor(bert_model(tiny.TINY, arrays, layers).SerializeToString(), 1)


SCHEMES = {
    "max": (STATIC, CalibrationOptions()),
    "mse": (STATIC, CalibrationOptions("mse", smooth=0.0, float_channels=0)),
    "percentile": (STATIC, CalibrationOptions("percentile", 99.0, smooth=0.8, rounding="nearest")),
    "per tensor": (Quantization(static=True), CalibrationOptions()),
}


@pytest.mark.parametrize("quantization, options", SCHEMES.values(), ids=SCHEMES)
def test_logits_match_numpy_integers(quantization, options):
    arrays = calibrate_static(tiny.TINY, with_outliers(), BATCHES, quantization, options)
    batch = tiny.token_batch(rows=24, length=16, seed=3)
    expected = StaticBert(tiny.TINY.replace(quantization=quantization), arrays)(*batch)
    for simulated in (False, True):
        difference = np.abs(predictor(arrays, quantization, simulated)(*batch) - expected).max(axis=1)
        assert np.median(difference) < CLOSE and difference.max() < STEP
    floats = np.abs(predictor(with_outliers())(*batch) - expected).max(axis=1)
    assert np.median(floats) > 10 * CLOSE


def test_every_dense_layer_is_an_integer_matmul(tmp_path):
    arrays = calibrate_static(tiny.TINY, tiny.random_arrays(tiny.TINY), BATCHES, STATIC)
    file = tmp_path / "model.onnx"
    file.write_bytes(bert_model(tiny.TINY, arrays, layers_of(STATIC)).SerializeToString())
    in_float = sum(name.endswith("float_channels") for name in arrays)
    assert count_matmuls(file) == (DENSE, 2 * tiny.TINY.num_hidden_layers + in_float)
    assert "Clip" not in {node.op_type for node in onnx.load(file).graph.node}


def test_without_rounding_it_is_the_same_model():
    """Smoothing changes the weights of values and outputs, not the function."""
    before = with_outliers()
    after = calibrate_static(tiny.TINY, before, BATCHES, STATIC)
    after = {name: array for name, array in after.items() if not is_range(name)}
    assert np.abs(after[VALUE] - before[VALUE]).max() > 1e-3
    batch = tiny.token_batch(rows=8, length=16, seed=3)
    np.testing.assert_allclose(predictor(after)(*batch), predictor(before)(*batch), atol=1e-5)


VALUE = "bert.encoder.layer.0.attention.self.value.weight"


@pytest.mark.parametrize("smooth, channels", [(0.5, 0), (0.0, 4)])
def test_outliers_of_hidden_states(smooth, channels):
    """Smoothing, or four channels in float, each removes most of what outliers cost."""
    arrays, batch = with_outliers(), tiny.token_batch(rows=64, length=16, seed=3)
    expected, errors = predictor(arrays)(*batch), []
    for values in ({"smooth": 0.0, "float_channels": 0}, {"smooth": smooth, "float_channels": channels}):
        found = calibrate_static(tiny.TINY, arrays, BATCHES, STATIC, CalibrationOptions(**values))
        errors.append(np.abs(predictor(found, STATIC)(*batch) - expected).mean())
    assert errors[1] < errors[0] / 2


def test_biases_remove_the_mean_error():
    """Over the calibration rows the products of a layer have the mean that they have in float32."""
    arrays = calibrate_static(tiny.TINY, tiny.random_arrays(tiny.TINY), BATCHES, STATIC)
    reference = StaticBert(tiny.TINY.replace(quantization=STATIC), arrays)
    inputs = {}
    for names, x in InputRecorder(tiny.TINY, arrays).inputs(BATCHES):
        inputs.setdefault(names, []).append(x)
    for names, parts in inputs.items():
        x = np.concatenate(parts).astype(float)
        for name in names:
            expected = x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]
            found = reference.dense(x, name)
            np.testing.assert_allclose(found.mean(axis=0), expected.mean(axis=0), atol=1e-5)
            uncorrected = found + arrays[f"{name}.bias_correction"]
            assert np.abs(uncorrected.mean(axis=0) - expected.mean(axis=0)).max() > 1e-5


def test_inputs_that_are_not_finite():
    arrays = tiny.random_arrays(tiny.TINY)
    arrays["bert.encoder.layer.0.output.dense.weight"][0, 0] = np.nan
    with pytest.raises(UserError, match=r"inputs of bert.encoder.layer.1.attention.self.query are NaN"):
        calibrate_static(tiny.TINY, arrays, BATCHES, STATIC)


def test_a_config_written_before_static_quantization():
    """Without its key a quantized model is that of training: symmetric, embeddings by table."""
    values = {name: value for name, value in STATIC.to_json().items() if name != "static"}
    read = Quantization.from_json(values, "config.json")
    assert read == Quantization(per_channel=True) and not read.post_training
    assert Quantization.from_json(STATIC.to_json(), "config.json") == STATIC
