"""Export: complete, minimal, verified against the model; one-sentence errors."""

import dataclasses
import json
import os

import numpy as np
import onnx
import pytest

from src.config.data_config import ModelConfig
from src.config.quantization import Quantization
from src.data.records.io import read_records
from src.digests import SUMS_FILE
from src.errors import UserError
from src.infer.onnx.session import OnnxModel
from src.output_dir import MARKER
from src.stages.model import device as kernels
from src.stages.model.inference import load_for_inference
from src.stages.serving import verify
from src.stages.serving.export import LARGEST
from src.stages.serving.verify import Comparison
from src.tools.compare import main as compare
from src.tools.evaluate import main as evaluate
from src.tools.export import main
from src.train.device import select_device
from tests import tiny

BESIDE = [
    MARKER,
    SUMS_FILE,
    "README.md",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory, vocabulary):
    return tiny.write_model(tmp_path_factory.mktemp("float"), vocabulary)


def quantized(folder, vocabulary, scale=6.0, **scheme):
    """A quantized model folder whose ranges are all `scale`."""
    config = tiny.TINY.replace(quantization=Quantization(**scheme))
    arrays = tiny.random_arrays(config)
    ranges = [name for name in arrays if name.endswith("input_threshold")]
    arrays.update({name: np.full(1, scale, np.float32) for name in ranges})
    return tiny.write_model(folder, vocabulary, config, arrays)


def run(model, out, *flags):
    main(tiny.flags(model_dir=model, output_dir=out, kernels="off") + list(flags))
    return json.loads((out / "config.json").read_text())


def test_onnx_in_float(tmp_path, model, sst2, capsys):
    values = run(model, tmp_path / "out", f"--eval_data_dir={sst2}")
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*BESIDE, "model.onnx"])
    assert values["export"] == {"format": "onnx", "precision": "fp32"}
    assert values["id2label"] == {"0": "0", "1": "1"} and "quantization" not in values
    lines = capsys.readouterr().out
    assert "over 13 rows: logits differ by at most" in lines and "0 predictions differ" in lines
    onnx.checker.check_model(tmp_path / "out" / "model.onnx", full_check=True)


def test_mindir(tmp_path, model, capsys):
    """In a folder whose name MindSpore does not export to."""
    folder = tmp_path / "my café"
    values = run(model, folder, "--format=mindir")
    assert sorted(os.listdir(folder)) == sorted([*BESIDE, "model.mindir"])
    assert values["export"] == {"format": "mindir", "precision": "fp32"}
    assert "over 32 rows" in capsys.readouterr().out


def test_a_float_model_in_integers(tmp_path, model, sst2, capsys):
    flags = ["--precision=int8", f"--calibration_data={sst2}", f"--eval_data_dir={sst2}"]
    values = run(model, tmp_path / "out", *flags, "--calibration_rows=20")
    assert values["quantization"]["static"] and values["quantization"]["per_channel"]
    lines = capsys.readouterr().out
    assert "calibration: inputs of 14 layers over 20 rows" in lines
    assert "matrix products in ONNX Runtime: 14 of integers, 4 of floats" in lines
    # What is said to be verified is what quantization changes, as onnxruntime and the float file compute it.
    run(model, tmp_path / "float")
    dataset = read_records(sst2 / "dev.tfrecord")
    found = [all_logits(tmp_path / name / "model.onnx", dataset) for name in ("out", "float")]
    largest = np.abs(found[0] - found[1]).max()
    assert (
        f"int8 and float32 over 13 rows: logits differ by at most {largest:.2g}" in lines and largest > 1e-4
    )
    assert "session.x64quantprecision" in (tmp_path / "out" / "README.md").read_text()
    assert "session.x64quantprecision" not in (tmp_path / "float" / "README.md").read_text()


def all_logits(file, dataset):
    """The logits of one row at a time."""
    model, found = OnnxModel(file), []
    for ids, segments in zip(dataset.by_row(dataset.tokens), dataset.by_row(dataset.segments), strict=True):
        found.append(model(ids[None], segments[None], np.ones_like(ids)[None])[0])
    return np.array(found)


def test_integers_that_destroy_the_model_are_warned_of(tmp_path, model, sst2, monkeypatch, capsys):
    monkeypatch.setattr(verify, "ABSURD_SHARE", 0.0)
    run(model, tmp_path / "out", "--precision=int8", f"--calibration_data={sst2}")
    assert "warning: int8 changes the logits beyond recognition" in capsys.readouterr().out


def test_a_float_model_in_integers_without_calibration(tmp_path, model, sst2, capsys):
    values = run(model, tmp_path / "out", "--precision=int8-dynamic", f"--eval_data_dir={sst2}")
    assert values["export"]["precision"] == "int8-dynamic" and values["quantization"]["dynamic"]
    lines = capsys.readouterr().out
    assert "acc over 13 rows: " in lines and "int8 and float32 over 13 rows" in lines
    assert "matrix products in ONNX Runtime: 14 of integers, 4 of floats" in lines
    evaluate(tiny.flags(task_name="SST-2", model_dir=tmp_path / "out", eval_data_dir=sst2))
    accuracy = json.loads((tmp_path / "out" / "eval_results.json").read_text())["eval_accuracy"]
    assert f", {accuracy:.4f} in int8 (" in lines


def test_dynamic_ranges_are_of_exported_files(tmp_path, vocabulary):
    config = tiny.TINY.replace(quantization=Quantization(dynamic=True))
    folder = tiny.write_model(tmp_path / "model", vocabulary, config)
    with pytest.raises(UserError, match="dynamic and static are of exported ONNX files"):
        load_for_inference(folder, ModelConfig(kernels="off"))


def test_a_quantized_model(tmp_path, vocabulary, capsys):
    folder = quantized(tmp_path / "model", vocabulary)
    assert run(folder, tmp_path / "int8", "--precision=int8")["quantization"]["activation_bits"] == 8
    assert "quantization" not in run(folder, tmp_path / "fp32")
    assert "fp32 drops the quantization" in capsys.readouterr().out
    batch = tiny.token_batch(rows=8)
    int8, fp32 = (OnnxModel(tmp_path / name / "model.onnx")(*batch) for name in ("int8", "fp32"))
    assert 1e-3 < np.abs(int8 - fp32).max()


def test_a_quantized_model_with_float_layers(tmp_path, vocabulary, sst2, capsys):
    layers = ("bert.encoder.layer.0.output.dense", "bert.embeddings.word_embeddings")
    folder = quantized(tmp_path / "model", vocabulary, float_layers=layers)
    values = run(folder, tmp_path / "int8", "--precision=int8", f"--eval_data_dir={sst2}")
    assert values["quantization"]["float_layers"] == list(layers)
    lines = capsys.readouterr().out
    assert "13 of integers, 5 of floats" in lines
    batch = tiny.token_batch(rows=8)
    simulated = load_for_inference(folder, ModelConfig(kernels="off")).predict(*batch)
    difference = np.abs(load_for_inference(tmp_path / "int8", ModelConfig()).predict(*batch) - simulated)
    assert np.median(difference.max(axis=1)) < 1e-4


def test_an_export_is_evaluated_and_compared_like_its_model(tmp_path, vocabulary, sst2, capsys):
    # Labels in a different order from the task's, matched by name.
    folder = tiny.write_model(tmp_path / "model", vocabulary, tiny.TINY.replace(labels=("1", "0")))
    run(folder, tmp_path / "out")
    flags = tiny.flags(task_name="SST-2", eval_data_dir=sst2, kernels="off")
    for model_dir in (folder, tmp_path / "out"):
        evaluate([*flags, f"--model_dir={model_dir}"])
    results = [json.loads((path / "eval_results.json").read_text()) for path in (folder, tmp_path / "out")]
    assert results[0] == results[1] and results[0]["eval_samples"] == 13
    models = f"--models=model={folder},onnx={tmp_path / 'out'}"
    compare([*flags, models, f"--output_dir={tmp_path / 'table'}", "--timed_sentences=3"])
    rows = json.loads((tmp_path / "table" / "compare.json").read_text())
    assert (
        rows[0]["parameters"]
        == rows[1]["parameters"]
        == sum(array.size for array in tiny.random_arrays(tiny.TINY).values())
    )
    with pytest.raises(UserError, match="is not a model of MNLI: it predicts 1, 0"):
        evaluate([f"--model_dir={tmp_path / 'out'}", "--task_name=MNLI", f"--eval_data_dir={sst2}"])


def test_an_int8_file_is_a_quarter(tmp_path, vocabulary, sst2):
    config = tiny.TINY.replace(vocab_size=8000, hidden_size=256, intermediate_size=1024)
    folder = tiny.write_model(tmp_path / "model", vocabulary, config)
    run(folder, tmp_path / "int8", "--precision=int8", f"--calibration_data={sst2}")
    sizes = [path.stat().st_size for path in (tmp_path / "int8" / "model.onnx", folder / "model.safetensors")]
    assert sizes[0] / sizes[1] < 0.26


@pytest.mark.parametrize("last, agrees", [(0.5, True), (0.4, False), (np.nan, False)])
def test_a_differing_file_is_detected(last, agrees):
    found = Comparison.of(np.array([[1.0, -1.0], [2.0, last]]), np.array([[1.0, -1.0], [2.0, 0.5]]))
    assert found.agrees("fp32") is agrees


def test_rounding_error_is_accepted_and_more_is_not():
    expected = np.random.default_rng(0).standard_normal((100, 2))
    one_row = expected.copy()
    one_row[3] = expected[3, ::-1]
    found = Comparison.of(one_row, expected)
    assert found.agrees("int8") and not found.agrees("fp32")
    assert found.changed == 1 and found.margin == pytest.approx(abs(expected[3, 0] - expected[3, 1]))
    assert not Comparison.of(expected * 1.3, expected).agrees("int8")
    assert not Comparison.of(expected * np.nan, expected).agrees("int8")
    thousands = 3000 * expected  # float32 has seven digits, whatever the scale
    assert Comparison.of(thousands + 1e-3 * expected, thousands).agrees("fp32")
    assert not Comparison.of(1.01 * thousands, thousands).agrees("fp32")


def test_of_scores_no_prediction_is_said_to_differ_or_not():
    scores = np.array([[1.0], [2.0]])
    assert "predictions" not in str(Comparison.of(scores + 1e-6, scores, "regression"))
    assert "; 1 predictions differ, by margins of up to 2" in str(
        Comparison.of(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [2.0, 0.0]]))
    )


def test_a_file_that_does_not_agree_is_not_kept(tmp_path, model, monkeypatch):
    monkeypatch.setattr(verify, "MAX_DIFFERENCE", -1.0)
    with pytest.raises(UserError, match="does not agree with the model"):
        run(model, tmp_path / "out")
    assert not list(tmp_path.iterdir())


REFUSED = {
    "int8 without ranges": (["--precision=int8"], "measure them on records with --calibration_data"),
    "int8 as mindir": (["--precision=int8", "--format=mindir"], "requires --format onnx"),
    "dynamic as mindir": (["--precision=int8-dynamic", "--format=mindir"], "requires --format onnx"),
    "dynamic calibrated": (
        ["--precision=int8-dynamic", "--calibration_data=x"],
        "int8-dynamic has no calibration",
    ),
    "calibration in float": (["--calibration_data=x"], "--calibration_data requires --precision int8"),
    "calibration records absent": (["--precision=int8", "--calibration_data=none"], "none does not exist"),
    "evaluation records absent": (["--eval_data_dir=none"], "none does not exist"),
    "half precision": (["--compute_type=float16"], "--compute_type float16 is not supported for export"),
    "rounded products": (["--matmul_precision=bf16"], "--matmul_precision bf16 is not supported for export"),
    "percentile of all": (
        ["--precision=int8", "--calibration_percentile=99"],
        "--calibration_percentile requires --calibration_method percentile",
    ),
    "rows of no records": (["--compare_rows=5"], "--compare_rows requires --eval_data_dir"),
    "misspelled format": (["--format=onxx"], 'did you mean "onnx"'),
}


@pytest.mark.parametrize("flags, message", REFUSED.values(), ids=REFUSED)
def test_wrong_flags(tmp_path, model, flags, message):
    with pytest.raises(UserError, match=message):
        run(model, tmp_path / "out", *flags)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["onnx", "mindir"])
def test_models_that_are_too_large_for_a_file(tmp_path, model, kind, monkeypatch):
    monkeypatch.setitem(LARGEST, kind, 1000)
    with pytest.raises(UserError, match=f"a file of format {kind} holds at most 0.0 GB"):
        run(model, tmp_path / "out", f"--format={kind}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--eval_data_dir={}", "--calibration_data=x, {}"])
def test_records_inside_the_output_are_not_deleted(tmp_path, model, flag):
    records = tmp_path / "out" / "records"
    records.mkdir(parents=True)
    with pytest.raises(UserError, match="out contains .*records, which this run reads"):
        run(model, tmp_path / "out", flag.format(records), "--precision=int8", "--overwrite_output_dir")
    assert records.is_dir()


def test_a_file_is_compared_with_the_model_in_float32(tmp_path, model, monkeypatch):
    """On other devices auto means float16, which differs from the file by more than rounding error."""

    def other_device(config):
        device = select_device(config)
        changes = {"compute_type": "float16"} if config.compute_type == "auto" else {}
        return dataclasses.replace(device, **changes)

    monkeypatch.setattr(kernels, "select_device", other_device)
    run(model, tmp_path / "out")


def test_a_quantized_model_has_its_own_ranges(tmp_path, vocabulary):
    folder = quantized(tmp_path / "model", vocabulary)
    with pytest.raises(UserError, match="omit --calibration_data"):
        run(folder, tmp_path / "out", "--precision=int8", f"--calibration_data={tmp_path}")
    with pytest.raises(UserError, match="is quantized and has ranges; export it with --precision int8"):
        run(folder, tmp_path / "out", "--precision=int8-dynamic")
    unset = quantized(tmp_path / "unset", vocabulary, scale=0.0)
    with pytest.raises(UserError, match="has no input range"):
        run(unset, tmp_path / "out", "--precision=int8")
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_exported(tmp_path, vocabulary):
    relative = tiny.write_model(tmp_path / "r", vocabulary, tiny.TINY.replace(use_relative_positions=True))
    headless = tiny.write_model(tmp_path / "h", vocabulary, tiny.TINY.replace(labels=()))
    larger = tiny.write_model(tmp_path / "v", vocabulary, tiny.TINY.replace(vocab_size=99))
    without = tiny.write_model(tmp_path / "t", vocabulary)
    arrays = tiny.random_arrays(tiny.TINY)
    del arrays["bert.encoder.layer.1.output.dense.bias"]
    half = tiny.write_model(tmp_path / "p", vocabulary, arrays=arrays)
    for name in BESIDE[4:]:
        (without / name).unlink()
    for folder, message in (
        (relative, "--format mindir"),
        (headless, "has no head"),
        (half, "does not fit its config: .*bert.encoder.layer.1.output.dense.bias"),
        (without, "holds no tokenizer files"),
        (larger, "has the id 99"),
        (tmp_path / "none", "does not exist"),
    ):
        with pytest.raises(UserError, match=message):
            run(folder, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    run(tiny.write_model(tmp_path / "good", vocabulary), tmp_path / "exported")
    with pytest.raises(UserError, match="is already an export"):
        run(tmp_path / "exported", tmp_path / "out")
    with pytest.raises(UserError, match="contains .*, which this run reads"):
        run(relative, tmp_path)
