"""The command: folders like any other, what they are for, and one-sentence errors."""

import json
import re

import numpy as np
import pytest

from run_task_distill import main as task_distill
from src.config.bert_config import BertConfig
from src.config.quantization import Quantization
from src.config.td_config import resolve
from src.data.tokenization.tokenizer import load_tokenizer
from src.digests import SUMS_FILE
from src.errors import UserError
from src.infer.predictor import predictor
from src.model.bert import BertClassifier
from src.model.state_dict import load_strict
from src.output_dir import MARKER
from src.stages.predict import Classifier
from src.tools.convert import main as convert
from src.tools.evaluate import main as evaluate
from src.tools.export import main as export
from src.tools.prepare import main as prepare
from src.tools.prune import main
from src.weights.huggingface import expected_shapes
from src.weights.reader import read_weights
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
DEEP = tiny.TINY.replace(num_hidden_layers=3)
FILES = {MARKER, SUMS_FILE, "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
CPU = tiny.flags(kernels="off", device_target="CPU")
SENTENCES = [tiny.sentence(np.random.default_rng(seed), tiny.MARKS["1"]) for seed in range(20)]


@pytest.fixture(scope="module")
def model(tmp_path_factory, vocabulary):
    return tiny.write_model(tmp_path_factory.mktemp("model") / "model", vocabulary, DEEP, seed=3)


@pytest.fixture
def texts(tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("\n".join([*SENTENCES, "", "bade unheard\tbakiWORD lobaloba"]) + "\n", encoding="utf-8")
    return file


def run(model, out, *more, **values):
    """Prune; returns the config and the weights that were written."""
    main([*tiny.flags(model_dir=model, output_dir=out), *CPU, *more, *tiny.flags(**values)])
    return BertConfig.from_json(out / "config.json"), read_weights(out).arrays


@pytest.fixture(scope="module")
def heads(tmp_path_factory, model, sst2):
    """A folder with pruned layers, heads and neurons."""
    out = tmp_path_factory.mktemp("heads") / "out"
    values = {"layers": "0,2", "num_heads": 3, "intermediate_size": 0.5}
    run(model, out, train_data_dir=sst2, task_name="SST-2", importance_rows=20, **values)
    return out


def logits_of(config, arrays, columns):
    network = BertClassifier(config)
    load_strict(network, arrays, "tiny")
    return predictor(network)(*columns)


def test_the_folder(heads, model, capsys):
    config, arrays = BertConfig.from_json(heads / "config.json"), read_weights(heads).arrays
    assert {path.name for path in heads.iterdir()} == {*FILES, "vocab.txt"}
    expected = DEEP.replace(num_hidden_layers=2, num_attention_heads=3, attention_head_size=8)
    assert config == expected.replace(intermediate_size=24)
    assert {name: array.shape for name, array in arrays.items()} == expected_shapes(config)
    # Each kept head is one of the layer it comes from, in its order.
    full = read_weights(model).arrays
    for layer, source in ((0, 0), (1, 2)):
        name = "bert.encoder.layer.{}.attention.self.value.weight"
        kept, candidates = arrays[name.format(layer)].reshape(3, 8, 32), full[name.format(source)]
        places = [[np.array_equal(head, other) for other in candidates.reshape(4, 8, 32)] for head in kept]
        indices = np.argwhere(places)
        assert indices[:, 0].tolist() == [0, 1, 2] and (np.diff(indices[:, 1]) > 0).all()


@pytest.mark.slow
def test_evaluated_exported_and_distilled(heads, model, sst2, tmp_path, capsys):
    flags = tiny.flags(task_name="SST-2", eval_data_dir=sst2)
    evaluate([*flags, *CPU, f"--model_dir={heads}"])
    common = [f"--model_dir={heads}", "--kernels=off", f"--eval_data_dir={sst2}"]
    export([*common, f"--output_dir={tmp_path / 'onnx'}"])
    calibrated = ["--precision=int8", f"--calibration_data={sst2}"]
    export([*common, f"--output_dir={tmp_path / 'int8'}", *calibrated])
    export([*common, f"--output_dir={tmp_path / 'mindir'}", "--format=mindir"])
    printed = capsys.readouterr().out
    assert printed.count("0 predictions differ") >= 2  # the ONNX and MindIR files, in float
    expected = Classifier(heads)(SENTENCES[:3])
    for name in ("onnx", "mindir"):
        for found, theirs in zip(Classifier(tmp_path / name)(SENTENCES[:3]), expected, strict=True):
            assert found[0] == theirs[0] and found[1] == pytest.approx(theirs[1], abs=1e-4)
    out = tmp_path / "distilled"
    task_distill(
        [
            *flags,
            *tiny.flags(load_teacher_ckpt_path=model, train_data_dir=sst2, output_dir=out),
            *tiny.flags(student_init=heads, layer_map="1,3", attention_weight=0, batch_size=8),
            *tiny.flags(td_phase1_epoch_size=1, td_phase2_epoch_size=1, length_buckets="off"),
        ]
    )
    config = BertConfig.from_json(out / "last" / "config.json")
    assert (config.num_attention_heads, config.head_size, config.intermediate_size) == (3, 8, 24)
    assert f"student from {heads}" in (out / "log.txt").read_text()


@pytest.mark.parametrize("to", ["hf", "mindspore", "tensorflow"])
def test_other_code_has_no_pruned_heads(heads, tmp_path, to):
    out = tmp_path / "out"
    with pytest.raises(UserError, match=rf"pruned attention heads \(3 of 8\), which .* omit --to {to}"):
        convert([f"--input={heads}", f"--output_dir={out}", f"--to={to}"])
    assert not out.exists()


def test_the_least_harmful_layers(model, sst2, tmp_path, capsys):
    values = {"train_data_dir": sst2, "task_name": "SST-2", "importance_rows": 20, "num_layers": 2}
    config, arrays = run(model, tmp_path / "out", **values)
    kept = re.search(
        r"layers kept: ([\d,]+); in a distillation .* --layer_map ([\d,]+)", capsys.readouterr().out
    )
    layers = [int(layer) for layer in kept[1].split(",")]
    assert [layer + 1 for layer in layers] == [int(layer) for layer in kept[2].split(",")]
    listed, _ = run(model, tmp_path / "listed", layers=kept[1], task_name="SST-2", eval_data_dir=sst2)
    assert '"eval_samples": 13' in capsys.readouterr().out
    again = read_weights(tmp_path / "listed").arrays
    assert listed == config
    tiny.assert_same_weights(again, arrays)


def test_vocabulary(model, texts, tmp_path, capsys):
    heldout = tmp_path / "heldout.txt"
    heldout.write_text("zoge \u4e2d\n")
    out = tmp_path / "out"
    config, arrays = run(model, out, vocabulary_from=texts, heldout_file=heldout)
    printed = capsys.readouterr().out
    before, after = load_tokenizer(model), load_tokenizer(out)
    assert config.vocab_size == len(after.vocab) < len(before.vocab) == DEEP.vocab_size
    assert set(tiny.SPECIAL) < set(after.vocab)
    lines = [text for line in texts.read_text().splitlines() for text in line.split("\t") if text]
    assert f"{len(lines)} texts are tokenized as before" in printed
    old_ids, new_ids = (
        each.encode_pairs([(line, None) for line in lines], 32)[0] for each in (before, after)
    )
    tokens = [[after.token(index) for index in row] for row in new_ids]
    assert tokens == [[before.token(index) for index in row] for row in old_ids]
    assert any("[UNK]" in row for row in tokens)
    columns = np.zeros((1, len(old_ids[0])), np.int32), np.ones((1, len(old_ids[0])), np.int32)
    expected = logits_of(DEEP, read_weights(model).arrays, (np.array(old_ids[:1], np.int32), *columns))
    found = logits_of(config, arrays, (np.array(new_ids[:1], np.int32), *columns))
    np.testing.assert_array_equal(found, expected)
    assert "held-out" in printed and "% of the tokens are unknown (" in printed
    assert {path.name for path in out.iterdir()} == {*FILES, "vocab.txt"}


def test_vocabulary_of_records(model, sst2, tmp_path):
    """The tokens of the training rows, and no others of the words."""
    config, _ = run(model, tmp_path / "out", vocabulary_from=sst2)
    words = {
        word for line in tiny.single_rows(40, 1).splitlines()[1:] for word in line.split("\t")[0].split()
    }
    assert set(load_tokenizer(tmp_path / "out").vocab) == {*tiny.SPECIAL, *words}
    assert config.vocab_size == len(words) + 5


@pytest.mark.reference
def test_transformers_opens_the_folder(model, sst2, texts, tmp_path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    out = tmp_path / "out"
    values = {"layers": "0,1", "intermediate_size": 31, "vocabulary_from": texts}
    run(model, out, train_data_dir=sst2, task_name="SST-2", importance_rows=20, **values)
    tokenizer, theirs = (
        AutoTokenizer.from_pretrained(out),
        AutoModelForSequenceClassification.from_pretrained(out),
    )
    batch = tokenizer(SENTENCES[:4], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = torch.softmax(theirs.eval()(**batch).logits, -1).max(-1)
    found = Classifier(out)(SENTENCES[:4])
    np.testing.assert_allclose([p for _, p in found], expected.values.numpy(), atol=1e-5)
    assert theirs.config.intermediate_size == 31 and len(tokenizer) == theirs.config.vocab_size


REFUSED = {
    "nothing": ({}, "nothing to prune: give --layers"),
    "two kinds of layers": ({"layers": "0", "num_layers": 1}, "--layers and --num_layers are mutually excl"),
    "no list": ({"layers": "0;1"}, '--layers "0;1" is not a list of numbers'),
    "a layer too many": ({"layers": "0,3"}, "--layers 0,3: the model has the layers 0 to 2"),
    "a negative layer": ({"layers": "-1"}, "the model has the layers 0 to 2"),
    "layers in disorder": ({"layers": "1,0"}, "--layers 1,0 is not ascending"),
    "more layers": ({"num_layers": 4}, "--num_layers 4 is more than .* has, 3"),
    "more heads": ({"num_heads": 5}, "--num_heads 5 is more than .* has, 4"),
    "more neurons": ({"intermediate_size": 49}, "--intermediate_size 49 is more than .* has, 48"),
    "half a neuron": (
        {"intermediate_size": 20.5},
        "20.5 must be a whole number above 1, or a fraction below 1",
    ),
    "no neuron": (
        {"intermediate_size": 0.001},
        "0.001 must be a whole number above 1, or a fraction below 1",
    ),
    "no records": ({"num_heads": 2}, "give --train_data_dir"),
    "held-out texts alone": ({"layers": "0", "heldout_file": "x"}, "--heldout_file is for --vocabulary_from"),
    "records of other ids": (
        {"vocabulary_from": "x", "eval_data_dir": "x"},
        "--eval_data_dir holds ids of the complete vocabulary",
    ),
    "no texts": ({"vocabulary_from": "nowhere.txt"}, "nowhere.txt does not exist; give text files or rec"),
}


@pytest.mark.parametrize("values, message", REFUSED.values(), ids=REFUSED)
def test_refused(model, tmp_path, values, message):
    with pytest.raises(UserError, match=message):
        run(model, tmp_path / "out", **values)
    assert not (tmp_path / "out").exists()


def test_texts_without_a_text(model, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("\n \n")
    with pytest.raises(UserError, match="texts.txt holds no text"):
        run(model, tmp_path / "out", vocabulary_from=file)
    assert not (tmp_path / "out").exists()


def test_unsuitable_models(model, vocabulary, tmp_path):
    config = tiny.TINY.replace(quantization=Quantization())
    quantized = tiny.write_model(tmp_path / "int8", vocabulary, config)
    with pytest.raises(UserError, match="is quantized; .* pass the float model it was made from"):
        run(quantized, tmp_path / "out", layers="0")
    headless = tiny.write_model(tmp_path / "body", vocabulary, tiny.TINY.replace(labels=()))
    with pytest.raises(UserError, match="has no head"):
        run(headless, tmp_path / "out", layers="0")
    exported = tmp_path / "exported"
    exported.mkdir()
    (exported / "config.json").write_text(json.dumps({**DEEP.to_json_dict(), "export": {"format": "onnx"}}))
    with pytest.raises(UserError, match="is an export; give the model folder it was made from"):
        run(exported, tmp_path / "out", layers="0")
    assert not (tmp_path / "out").exists()


def test_student_init_is_a_start_or_a_folder(model, sst2, tmp_path):
    values = {"load_teacher_ckpt_path": model, "train_data_dir": sst2, "eval_data_dir": sst2}
    flags = tiny.flags(task_name="SST-2", output_dir=tmp_path / "out", **values)
    with pytest.raises(UserError, match='"teacher_layer" is none of .* did you mean "?teacher_layers'):
        task_distill([*flags, "--student_init=teacher_layer"])
    with pytest.raises(UserError, match="--load_gd_ckpt_path and --student_init .* are mutually exclusive"):
        task_distill([*flags, f"--student_init={model}", f"--load_gd_ckpt_path={model}"])
    # What a pruned model has learned is kept by the learning rates of teacher layers.
    config = resolve([*flags, f"--student_init={model}"])[1].config
    assert (config.learning_rate, config.phase2_learning_rate) == (1e-4, 1e-4)


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0 and "--vocabulary_from" in capsys.readouterr().out


def test_rows_without_labels(model, tmp_path):
    """They serve for layers, which are chosen by the logits; a gradient needs labels."""
    (tmp_path / "text").mkdir()
    file = tmp_path / "text" / "rows.txt"
    file.write_text("".join(f"{line}\n" for line in SENTENCES))
    records = tmp_path / "records"
    flags = tiny.flags(unlabelled_file=file, text_columns="text", vocab_file=model, output_dir=records)
    prepare([*flags, "--max_seq_length=16"])
    with pytest.raises(UserError, match="none of the .* rows has a label"):
        run(model, tmp_path / "heads", train_data_dir=records, num_heads=2)
    config, _ = run(model, tmp_path / "layers", train_data_dir=records, num_layers=2)
    assert config.num_hidden_layers == 2
