"""Quantized models as a whole: from a float folder, to a folder and back, against transformers, refusals."""

import json

import mindspore as ms
import numpy as np
import pytest
from safetensors.numpy import load_file

from src.config.bert_config import BertConfig
from src.config.quantization import Quantization
from src.data.dataloader import BucketDataLoader
from src.data.dataset import TokenizedDataset
from src.digests import SUMS_FILE
from src.errors import UserError
from src.infer.predictor import LogitsCell
from src.model.bert import BertClassifier, BertEncoder
from src.model.state_dict import load_strict, named_parameters, weight_arrays
from src.quant.layers import bind_ranges, quantized_matmuls
from src.stages.model import load
from src.stages.model.device import DeviceSetup, kernel_parts
from src.stages.model.quantization import build_network, refuse_quantized
from src.stages.training.q8bert import calibrate, init_ranges
from src.tasks import find_task
from src.tools.convert import main as convert
from src.weights.huggingface import expected_shapes, quantizable_layers, write_directory
from tests import tiny
from tests.quant import by_hand

pytestmark = pytest.mark.usefixtures("graph_mode")
TASK = find_task("SST-2")
CONFIG = tiny.TINY.replace(num_hidden_layers=1)
DENSE = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
RANGES = {f"bert.encoder.layer.0.{name}.input_threshold" for name in DENSE} | {
    "bert.pooler.dense.input_threshold",
    "classifier.input_threshold",
}


def plain():
    return DeviceSetup("CPU", "float32", "float32")


def quiet(text):
    """Takes remarks and drops them."""


def quantized(folder, device=None, **bits):
    """(network, config) of a model folder, to be quantized."""
    files = load.read_model(folder, quiet)
    return load.load_classifier(files, TASK, device or plain(), quiet, quantization=Quantization(**bits))


def rows(count=12):
    """Batches of four rows of 5 to 8 tokens."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(5, 9, count)
    total = lengths.sum()
    table = TokenizedDataset.from_flat(
        draw.integers(5, 90, total), np.zeros(total), lengths, np.zeros(count), 8
    )
    return BucketDataLoader(table, 4, [8], shuffle=False, seed=0)


def logits_of(network):
    network.set_train(False)
    return LogitsCell(network)(*map(ms.Tensor, tiny.token_batch())).asnumpy()


@pytest.fixture(scope="module")
def model(tmp_path_factory, vocabulary):
    """A folder in float."""
    return tiny.write_model(tmp_path_factory.mktemp("float") / "model", vocabulary, CONFIG)


@pytest.fixture(scope="module")
def ready(tmp_path_factory, vocabulary, model, graph_mode):
    """(network, folder) of the model with ranges from twelve rows."""
    network, config = quantized(model)
    bind_ranges(network, 0.9999)
    assert calibrate(network, rows(), 3) == 12
    folder = tmp_path_factory.mktemp("quantized") / "model"
    write_directory(folder, weight_arrays(network), config, vocabulary)
    return network, folder


def test_a_float_model_loads_with_only_its_ranges_new(model):
    network, _ = quantized(model)
    arrays, expected = weight_arrays(network), load_file(str(model / "model.safetensors"))
    assert set(arrays) - set(expected) == RANGES and set(expected) <= set(arrays)
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)
    assert all(arrays[name].shape == (1,) and arrays[name] == 0 for name in RANGES)


def test_a_missing_weight_is_no_range(model, tmp_path, vocabulary):
    arrays = load_file(str(model / "model.safetensors"))
    del arrays["bert.pooler.dense.weight"]
    folder = tiny.write_model(tmp_path / "model", vocabulary, CONFIG, arrays)
    with pytest.raises(UserError, match="1 weights are missing .bert.pooler.dense.weight."):
        quantized(folder)


@pytest.mark.parametrize(
    "bits",
    [
        {},
        {"quantize_classifier": False},
        {"float_layers": ("bert.encoder.layer.0.output.dense",)},
        {"activation_bits": 0},
        {"weight_bits": 0},
        {"embedding_bits": 0},
    ],
    ids=str,
)
def test_the_weights_of_a_quantized_folder(bits):
    config = CONFIG.replace(quantization=Quantization(**bits), use_relative_positions=True)
    network = build_network(BertClassifier, config, plain())
    shapes = {name: tuple(value.shape) for name, value in named_parameters(network).items()}
    assert shapes == expected_shapes(config)
    count = (
        0
        if "activation_bits" in bits
        else len(RANGES) - len({"quantize_classifier", "float_layers"} & set(bits))
    )
    assert sum(name.endswith("input_threshold") for name in shapes) == count


def test_float_layers_compute_in_float():
    """All layers named: the logits of the float model, bit for bit; one of them: others."""
    logits, arrays = [], tiny.random_arrays(CONFIG)
    quantizable = quantizable_layers(CONFIG)
    assert len(quantizable) == len(RANGES) + 3
    for quantization in (
        None,
        Quantization(float_layers=tuple(quantizable)),
        Quantization(activation_bits=0, float_layers=tuple(quantizable[1:])),
    ):
        network = build_network(BertClassifier, CONFIG.replace(quantization=quantization), plain())
        load_strict(network, arrays, "here")
        logits.append(logits_of(network))
    np.testing.assert_array_equal(logits[0], logits[1])
    assert np.abs(logits[2] - logits[0]).max() > 1e-4


def test_a_float_layer_that_is_not_there(tmp_path, vocabulary):
    config = CONFIG.replace(quantization=Quantization(float_layers=("bert.encoder.layer.1.output.dense",)))
    folder = tiny.write_model(tmp_path / "model", vocabulary, config)
    with pytest.raises(UserError, match="layer.1.output.dense.*; did you mean .bert.encoder.layer.0.output"):
        load.read_model(folder, quiet)
    values = json.loads((folder / "config.json").read_text())
    values["quantization"]["float_layers"] = "bert.pooler.dense"
    (folder / "config.json").write_text(json.dumps(values))
    (folder / SUMS_FILE).unlink()
    with pytest.raises(UserError, match="float_layers 'bert.pooler.dense' must be a list of names of layers"):
        load.read_model(folder, quiet)
    with pytest.raises(UserError, match='float_layers has "pooler", which is no dense layer or embedding'):
        quantized(tiny.write_model(tmp_path / "float", vocabulary, CONFIG), float_layers=("pooler",))


def test_there_and_back(ready):
    """The same logits, bit for bit; config.json knows the bits."""
    network, folder = ready
    files = load.read_model(folder, quiet)
    assert files.config.quantization == Quantization()
    again, _ = load.load_classifier(files, TASK, plain(), quiet)
    expected = logits_of(network)
    np.testing.assert_array_equal(logits_of(again), expected)
    assert set(files.arrays) >= RANGES and all(files.arrays[name] > 0 for name in RANGES)
    # Rounding is no small matter here: the model in float says something else.
    in_float = load.load_classifier(files, TASK, plain(), quiet, quantization=None)[0]
    assert np.abs(logits_of(in_float) - expected).max() > 1e-3


def test_kernels_give_the_same(ready, library):
    network, folder = ready
    device = DeviceSetup("CPU", "float32", "float32", **kernel_parts(library))
    with_kernels, _ = load.load_classifier(load.read_model(folder, quiet), TASK, device, quiet)
    # A number that sums differ in by 1e-7 can round to the neighbouring step.
    np.testing.assert_allclose(logits_of(with_kernels), logits_of(network), atol=2e-2)


def test_calibration_finds_the_largest_inputs(ready):
    """The key's input is the embeddings' output: its range is their absolute maximum over all rows."""
    network, folder = ready
    files = load.read_model(folder, quiet)
    body = load.load_classifier(files, TASK, plain(), quiet)[0].bert
    abs_max = 0.0
    for batch in rows().epoch(0):
        columns = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
        abs_max = max(abs_max, np.abs(body(*map(ms.Tensor, columns))[1][0].asnumpy()).max())
    found = files.arrays["bert.encoder.layer.0.attention.self.key.input_threshold"]
    np.testing.assert_allclose(found, [abs_max], rtol=1e-6)


@pytest.mark.reference
@pytest.mark.parametrize("bits", [(8, 8, 8), (4, 2, 8)], ids=str)
def test_transformers_with_rounded_weights_and_inputs(ready, tmp_path, vocabulary, bits):
    """The model in PyTorch, each weight and each input of a linear layer rounded by NumPy."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    arrays = load_file(str(ready[1] / "model.safetensors"))
    quantization = Quantization(*bits)
    config = CONFIG.replace(quantization=quantization)
    folder = tiny.write_model(tmp_path / "model", vocabulary, config, arrays)
    theirs = transformers.BertForSequenceClassification.from_pretrained(folder).eval()

    def round_input(clip_value):
        def hook(module, inputs):
            return (torch.from_numpy(by_hand.fake_quantize(inputs[0].numpy(), clip_value, bits[2])),)

        return hook

    with torch.no_grad():
        for name, module in theirs.named_modules():
            kind = {torch.nn.Linear: 0, torch.nn.Embedding: 1}.get(type(module))
            if kind is not None:
                rounded = by_hand.quantize_weight(module.weight.numpy(), bits[kind])
                module.weight.copy_(torch.from_numpy(rounded))
            if kind == 0:
                module.register_forward_pre_hook(round_input(arrays[f"{name}.input_threshold"]))
        names = ("input_ids", "token_type_ids", "attention_mask")
        expected = theirs(**dict(zip(names, map(torch.from_numpy, tiny.token_batch()), strict=True)))
    network, _ = load.load_classifier(load.read_model(folder, quiet), TASK, plain(), quiet)
    np.testing.assert_allclose(logits_of(network), expected.logits.numpy(), atol=1e-3)


def test_a_first_value_for_ranges(model):
    network, _ = quantized(model)
    assert init_ranges(network, 2.5) == len(RANGES) and init_ranges(network, 3.0) == 0
    assert {float(cell.input_threshold.asnumpy()[0]) for cell in quantized_matmuls(network)} == {2.5}
    assert len(quantized_matmuls(network)) == len(RANGES)


def test_ranges_that_stay_and_ranges_that_go(ready):
    """Trained on with other bits a quantized model keeps its ranges; in float it has none."""
    network, _ = quantized(ready[1], weight_bits=2)
    assert all(weight_arrays(network)[name] > 0 for name in RANGES)
    files = load.read_model(ready[1], quiet)
    in_float, config = load.load_classifier(files, TASK, plain(), quiet, quantization=None)
    assert not RANGES & set(weight_arrays(in_float)) and config.quantization is None


def test_labels_in_another_order_leave_the_range_alone(ready, tmp_path, vocabulary):
    arrays = load_file(str(ready[1] / "model.safetensors"))
    config = CONFIG.replace(quantization=Quantization(), labels=("1", "0"))
    folder = tiny.write_model(tmp_path / "model", vocabulary, config, arrays)
    network, _ = load.load_classifier(load.read_model(folder, quiet), TASK, plain(), quiet)
    found = weight_arrays(network)
    np.testing.assert_array_equal(found["classifier.bias"], arrays["classifier.bias"][::-1])
    np.testing.assert_array_equal(found["classifier.input_threshold"], arrays["classifier.input_threshold"])


def test_a_body_without_head(ready):
    """As the teacher of general distillation."""
    body, config = load.load_encoder(load.read_model(ready[1], quiet), plain(), quiet)
    assert isinstance(body, BertEncoder) and config.quantization
    assert len(quantized_matmuls(body)) == len(DENSE) + 1


def test_what_conversion_does_with_ranges(ready, tmp_path, capsys):
    folder = ready[1]
    convert(["--input", str(folder), "--output_dir", str(tmp_path / "hf"), "--to", "hf"])
    assert "the bit widths and 8 input ranges are dropped" in capsys.readouterr().out
    written = load_file(str(tmp_path / "hf" / "model.safetensors"))
    assert not RANGES & set(written)
    assert BertConfig.from_json(tmp_path / "hf" / "config.json").quantization is None
    expected = load_file(str(folder / "model.safetensors"))
    for kind in ("project", "ckpt"):
        convert(["--input", str(folder), "--output_dir", str(tmp_path / kind), "--to", kind])
        files = load.read_model(tmp_path / kind, quiet)
        assert files.config.quantization == Quantization() and set(files.arrays) == set(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(files.arrays[name], array)


# Refusals


def test_ranges_that_are_not_set(model, tmp_path, vocabulary):
    network, config = quantized(model)
    write_directory(tmp_path / "model", weight_arrays(network), config, vocabulary)
    files = load.read_model(tmp_path / "model", quiet)
    with pytest.raises(
        UserError, match="8 ranges are not set .bert.* by python run_q8bert_train.py --epoch_num 0"
    ):
        load.load_classifier(files, TASK, plain(), quiet)


def test_ranges_that_are_missing(ready, tmp_path, vocabulary):
    arrays = load_file(str(ready[1] / "model.safetensors"))
    del arrays["bert.pooler.dense.input_threshold"]
    config = CONFIG.replace(quantization=Quantization())
    folder = tiny.write_model(tmp_path / "model", vocabulary, config, arrays)
    with pytest.raises(UserError, match="1 weights are missing .bert.pooler.dense.input_threshold."):
        load.load_classifier(load.read_model(folder, quiet), TASK, plain(), quiet)


def test_a_quantized_model_is_no_start_in_float(ready):
    with pytest.raises(
        UserError, match="is quantized; continue its training with python run_q8bert_train.py, or pass"
    ):
        refuse_quantized(load.read_model(ready[1], quiet))


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"weight_bits": 9}, "config.json: quantization: weight_bits 9 must be 0, or from 2 to 8"),
        ({"activation_bits": 1}, "quantization: activation_bits 1 must be 0, or from 2 to 8"),
        ({"embedding_bits": "8"}, "quantization: embedding_bits '8' must be 0, or from 2 to 8"),
        ({"per_channel": "false"}, "quantization: per_channel 'false' must be true or false"),
        ({"weight_bit": 8}, 'unknown key "weight_bit" in quantization; did you mean "weight_bits"'),
        ({"weight_bits": 0, "embedding_bits": 0, "activation_bits": 0}, "are all 0: nothing to quantize"),
        (None, "quantization is not a JSON object"),
    ],
    ids=str,
)
def test_a_config_with_wrong_bits(tmp_path, change, complaint):
    values = CONFIG.replace(quantization=Quantization()).to_json_dict()
    values["quantization"] = {**values["quantization"], **change} if change else 8
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=complaint):
        BertConfig.from_json(tmp_path / "config.json")
