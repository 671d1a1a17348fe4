"""State dicts of nlp-architect's Q8BERT: float weights with ranges, and its 8-bit file.

The fixture computes in NumPy what nn/torch/quantization.py of IntelLabs/nlp-architect stores.
"""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from src.config.bert_config import BertConfig
from src.config.quantization import Quantization
from src.stages.model.load import read_model
from src.weights.huggingface import check_weights, expected_shapes
from src.weights.reader import read_weights
from tests import tiny

QUANTIZED = tiny.TINY.replace(quantization=Quantization())
REQUANTIZED = ("query", "key")  # whose outputs nlp-architect quantizes in its published settings


def layers_of(config=tiny.TINY):
    """(dense layers, embeddings) without the dot and the kind of weight."""
    names = [name.removesuffix(".weight") for name in expected_shapes(config) if name.endswith(".weight")]
    dense = [name for name in names if "LayerNorm" not in name and "embeddings" not in name]
    return dense, [name for name in names if name.endswith("_embeddings")]


def training_file(arrays, quantized_head=True):
    """What state_dict() of a QuantizedBertForSequenceClassification holds."""
    raw, (dense, embeddings) = dict(arrays), layers_of()
    for index, name in enumerate(dense):
        if name == "classifier" and not quantized_head:
            continue
        raw[f"{name}._step"] = np.full(1, 7, np.float32)
        raw[f"{name}.input_thresh"] = np.full(1, 1.0 + 0.1 * index, np.float32)
        if name.endswith(REQUANTIZED):
            raw[f"{name}.output_thresh"] = np.full(1, 3.0, np.float32)
    raw.update({f"{name}._step": np.full(1, 7, np.float32) for name in embeddings})
    return raw


def eight_bit_file(arrays):
    """What save_pretrained writes to quant_pytorch_model.bin in the mode ema."""
    raw, (dense, embeddings) = training_file(arrays), layers_of()
    for name in (*dense, *embeddings):
        weight = raw.pop(f"{name}.weight")
        del raw[f"{name}._step"]
        scale = np.float32(127) / np.abs(weight).max()
        raw[f"{name}.quantized_weight"] = np.clip(np.rint(weight * scale), -127, 127).astype(np.int8)
        raw[f"{name}._weight_scale"] = np.array(scale, np.float32)
        if name in dense:
            bias_scale = scale * np.float32(127) / raw[f"{name}.input_thresh"]
            raw[f"{name}.bias_scale"] = bias_scale
            raw[f"{name}._quantized_bias"] = np.rint(raw.pop(f"{name}.bias") * bias_scale).astype(np.int32)
    return raw


def write(folder, raw, config=tiny.TINY, **keys):
    folder.mkdir(parents=True)
    save_file(raw, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps({**config.to_json_dict(), **keys}))
    return folder


def expected_ranges():
    return {f"{name}.input_threshold": 1.0 + 0.1 * index for index, name in enumerate(layers_of()[0])}


def test_a_training_file_with_its_ranges(tmp_path):
    arrays, log = tiny.random_arrays(tiny.TINY), []
    files = read_model(write(tmp_path / "model", training_file(arrays)), log.append)
    assert files.config == QUANTIZED
    check_weights(files.arrays, files.config, files.source)
    for name, value in expected_ranges().items():
        assert files.arrays[name] == np.float32(value)
    tiny.assert_same_weights({name: files.arrays[name] for name in arrays}, arrays)
    assert any("14 input ranges" in line for line in log), log
    assert any("the outputs of 4 layers, which it quantizes too, stay in float" in line for line in log)


def test_an_8_bit_file(tmp_path):
    """Its weights are those of the float file, rounded: quantizing them again gives the same integers."""
    arrays, raw = tiny.random_arrays(tiny.TINY), eight_bit_file(tiny.random_arrays(tiny.TINY))
    files = read_model(write(tmp_path / "model", raw), lambda text: None)
    assert files.config == QUANTIZED
    check_weights(files.arrays, files.config, files.source)
    for name, array in arrays.items():
        step = np.abs(array).max() / 127
        np.testing.assert_allclose(files.arrays[name], array, atol=0.51 * step)
    for layer in (*layers_of()[0], *layers_of()[1]):
        weight = files.arrays[f"{layer}.weight"]
        again = np.rint(weight * (np.float32(127) / np.abs(weight).max()))
        np.testing.assert_array_equal(again, raw[f"{layer}.quantized_weight"])
    assert files.arrays["classifier.input_threshold"] > 0


def test_a_head_in_float(tmp_path):
    raw = training_file(tiny.random_arrays(tiny.TINY), quantized_head=False)
    files = read_model(write(tmp_path / "model", raw), lambda text: None)
    assert files.config.quantization == Quantization(quantize_classifier=False)
    check_weights(files.arrays, files.config, files.source)


@pytest.mark.parametrize(
    "keys, expected",
    [
        ({"attention_query": {"mode": "ema"}}, Quantization()),
        (
            {name: {"weight_bits": 4} for name in ("attention_query", "ffn_output")},
            Quantization(weight_bits=4),
        ),
        ({"word_embeddings": {"weight_bits": 6, "mode": "ema"}}, Quantization(embedding_bits=6)),
    ],
)
def test_bit_widths_of_the_config(tmp_path, keys, expected):
    folder = write(tmp_path / "model", training_file(tiny.random_arrays(tiny.TINY)), **keys)
    assert read_model(folder, lambda text: None).config.quantization == expected


@pytest.mark.parametrize("case", ["dynamic", "mixed bits", "wide bits"])
def test_ranges_that_mean_something_else_are_dropped_and_reported(tmp_path, case):
    raw, keys, log = training_file(tiny.random_arrays(tiny.TINY)), {}, []
    if case == "dynamic":  # the ranges are not trained
        raw = {n: np.zeros_like(a) if n.endswith("input_thresh") else a for n, a in raw.items()}
    else:
        keys = {"attention_query": {"weight_bits": 16 if case == "wide bits" else 4}, "pooler": {}}
    if case == "wide bits":
        keys["pooler"] = {"weight_bits": 16}
    files = read_model(write(tmp_path / "model", raw, **keys), log.append)
    assert files.config.quantization is None
    check_weights(files.arrays, files.config, files.source)
    assert any("read in float" in line and "input ranges are dropped" in line for line in log)


def test_other_files_have_no_quantization(tmp_path):
    weights = read_weights(write(tmp_path / "model", tiny.random_arrays(tiny.TINY)))
    assert weights.quantization is None and not weights.note
    assert BertConfig.from_json(tmp_path / "model" / "config.json") == tiny.TINY
