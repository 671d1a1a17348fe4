"""The metric of an export in float32 and in integers, over labeled rows."""

import json

import numpy as np
import pytest
from scipy import stats

from src.data.records.io import read_records
from src.infer.onnx.session import OnnxModel
from src.stages.serving.export import export
from src.tools.evaluate import main as evaluate
from src.tools.export import ExportConfig
from tests import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory, vocabulary):
    return tiny.write_model(tmp_path_factory.mktemp("float"), vocabulary)


def run(model, out, records, **values):
    """The ExportResult of one export to int8, with ranges from `records`."""
    values = {"precision": "int8", "calibration_data": str(records), "eval_data_dir": str(records), **values}
    return export(ExportConfig(model_dir=str(model), output_dir=str(out), kernels="off", **values))


def test_the_metric_is_that_of_evaluate(tmp_path, model, sst2, capsys):
    result = run(model, tmp_path / "int8", sst2)
    printed = capsys.readouterr().out
    for name, folder in (("metric_float", model), ("metric_int8", tmp_path / "int8")):
        evaluate(tiny.flags(model_dir=folder, eval_data_dir=sst2, task_name="SST-2", output_dir=tmp_path))
        accuracy = json.loads((tmp_path / "eval_results.json").read_text())["eval_accuracy"]
        assert getattr(result.quality, name) == accuracy
    assert (result.out, result.size) == (tmp_path / "int8", result.file.stat().st_size)
    assert f"acc over 13 rows: {result.quality.metric_float:.4f} in float32, " in printed
    assert f"{result.quality.metric_int8:.4f} in int8 ({0.0 - result.quality.drop:+.2f} points); " in printed
    assert "quality" in (tmp_path / "int8" / "README.md").read_text()


def test_changed_predictions_are_counted(tmp_path, model, sst2):
    float_file = run(model, tmp_path / "fp32", sst2, precision="fp32", calibration_data="").file
    result = run(model, tmp_path / "int8", sst2)
    dataset = read_records(sst2, split="dev")
    columns = dataset.padded(np.arange(dataset.rows), dataset.max_seq_length)
    in_float, in_int8 = (OnnxModel(file)(*columns) for file in (float_file, result.file))
    changed = (in_float.argmax(1) != in_int8.argmax(1)).sum()
    assert (result.quality.changes.changed, result.quality.changes.count) == (changed, 13)
    assert result.quality.changes.largest == pytest.approx(np.abs(in_float - in_int8).max(), abs=1e-5)
    assert result.quality.metric_int8 == pytest.approx((in_int8.argmax(1) == dataset.labels).mean())


def test_scores(tmp_path, vocabulary):
    texts = {"train": tiny.score_rows(20, 0), "dev": tiny.score_rows(12, 1)}
    records = tiny.prepare_task(tmp_path / "data", vocabulary, "STS-B", texts)
    config = tiny.TINY.replace(labels=(), output_mode="regression")
    result = run(tiny.write_model(tmp_path / "model", vocabulary, config), tmp_path / "out", records)
    dataset = read_records(records, split="dev")
    columns = dataset.padded(np.arange(dataset.rows), dataset.max_seq_length)
    expected = stats.pearsonr(OnnxModel(result.file)(*columns)[:, 0], dataset.labels)[0]
    assert result.quality.metric_int8 == pytest.approx(expected, abs=1e-4)
    assert result.quality.changes.changed is None and "; scores differ by" in str(result.quality)


def test_a_model_of_other_labels_has_no_metric(tmp_path, vocabulary, sst2, capsys):
    other = tiny.write_model(tmp_path / "model", vocabulary, tiny.TINY.replace(labels=("a", "b")))
    assert run(other, tmp_path / "out", sst2).quality is None
    assert "note: no metric is measured: " in capsys.readouterr().out
