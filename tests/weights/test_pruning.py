"""Units whose output is zero, removed from the weights: the model computes the same logits."""

import numpy as np
import pytest

from src.config.quantization import Quantization
from src.infer.onnx.bert import bert_model
from src.infer.onnx.int8 import layers_of
from src.infer.onnx.session import OnnxModel
from src.infer.predictor import predictor
from src.model.bert import BertClassifier
from src.model.layers import FLOAT_LAYERS
from src.model.state_dict import load_strict
from src.stages.model.device import kernel_parts
from src.train.throughput import forward_flops
from src.weights import pruning
from src.weights.huggingface import expected_shapes
from tests import tiny
from tests.infer.integer_bert import IntegerBert

pytestmark = pytest.mark.usefixtures("graph_mode")
CONFIG = tiny.TINY
HEADS = np.array([[0, 2, 3], [1, 2, 3]])
NEURONS = np.array([np.arange(0, 48, 2), np.arange(1, 48, 2)])


def zeroed(arrays, name, kept, width):
    """`arrays` where each layer's dense layer `name` ignores the units that are not kept."""
    arrays = dict(arrays)
    for layer, units in enumerate(kept):
        weight = arrays[f"bert.encoder.layer.{layer}.{name}.weight"].copy()
        for unit in set(range(weight.shape[1] // width)) - set(units):
            weight[:, unit * width : (unit + 1) * width] = 0
        arrays[f"bert.encoder.layer.{layer}.{name}.weight"] = weight
    return arrays


def logits(config, arrays, layers=FLOAT_LAYERS):
    network = BertClassifier(config, layers)
    load_strict(network, arrays, "tiny")
    return predictor(network)(*tiny.token_batch())


@pytest.fixture(scope="module")
def full():
    """Weights of a model in which a head of each layer and half of its neurons reach nothing."""
    arrays = tiny.random_arrays(CONFIG)
    arrays = zeroed(arrays, "attention.output.dense", HEADS, CONFIG.head_size)
    return zeroed(arrays, "output.dense", NEURONS, 1)


@pytest.fixture(scope="module")
def expected(full):
    return logits(CONFIG, full)


@pytest.fixture(scope="module")
def pruned(full):
    arrays, config = pruning.keep_heads(full, CONFIG, HEADS)
    return pruning.keep_neurons(arrays, config, NEURONS)


def test_shapes_are_those_of_the_config(pruned):
    arrays, config = pruned
    assert (config.num_attention_heads, config.head_size, config.attention_size) == (3, 8, 24)
    assert config.intermediate_size == 24
    assert {name: array.shape for name, array in arrays.items()} == expected_shapes(config)
    saved = 2 * 2 * 5 * (4 * 32 * 8 + 2 * 32 * 24) + 2 * 4 * 5 * 5 * 8
    assert forward_flops(CONFIG, 5) - forward_flops(config, 5) == saved


def test_units_without_effect(full, pruned, expected):
    arrays, config = pruned
    np.testing.assert_allclose(logits(config, arrays), expected, atol=2e-6)
    # Other heads would be noticed.
    others, other_config = pruning.keep_heads(full, CONFIG, HEADS[::-1])
    assert np.abs(logits(other_config, others) - expected).max() > 1e-3


def test_kernels(library, pruned, expected):
    arrays, config = pruned
    layers = kernel_parts(library)["layers"]
    np.testing.assert_allclose(logits(config, arrays, layers), expected, atol=1e-5)


def onnx_logits(folder, model):
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return OnnxModel(file, threads=1)(*tiny.token_batch())


def test_onnx(tmp_path, pruned, expected):
    arrays, config = pruned
    np.testing.assert_allclose(onnx_logits(tmp_path, bert_model(config, arrays)), expected, atol=1e-5)


def test_int8(tmp_path, pruned):
    """The int8 file of a model with pruned heads, against integer arithmetic in NumPy."""
    arrays, config = pruned
    config = config.replace(quantization=Quantization())
    ranges = {name: np.full(1, 6.0, np.float32) for name in expected_shapes(config) if name not in arrays}
    assert len(ranges) == 14
    arrays = {**arrays, **ranges}
    found = onnx_logits(tmp_path, bert_model(config, arrays, layers_of(config.quantization)))
    expected = IntegerBert(config, arrays)(*tiny.token_batch())
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_layers(full):
    """The second layer alone, fed with what the first would have got."""
    arrays, config = pruning.keep_layers(full, CONFIG, (1,))
    assert set(arrays) == set(expected_shapes(config)) and config.num_hidden_layers == 1
    for name, array in arrays.items():
        source = name.replace(".layer.0.", ".layer.1.")
        np.testing.assert_array_equal(array, full[source])


def test_tokens(full, expected):
    ids = np.array([0, 2, 3, *range(5, 100)])
    arrays, config = pruning.keep_tokens(full, CONFIG, ids)
    assert config.vocab_size == 98
    batch = tiny.token_batch()
    network = BertClassifier(config)
    load_strict(network, arrays, "tiny")
    renumbered = (np.searchsorted(ids, batch[0]).astype(np.int32), *batch[1:])
    np.testing.assert_array_equal(predictor(network)(*renumbered), expected)
