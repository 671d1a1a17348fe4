"""The benchmark: all kinds of models in one run, interleaved, with the facts of the machine."""

import json

import numpy as np
import pytest

from src.errors import UserError
from src.infer.latency import interleaved_latencies_ms
from src.stages.evaluation import random_model
from src.stages.evaluation.benchmark import Subject, default_lengths, quality_of
from src.stages.evaluation.results import metrics_of
from src.tools.benchmark import main
from src.tools.export import main as export
from src.weights.huggingface import weight_count
from tests import tiny


@pytest.fixture
def small(monkeypatch):
    """A small preset; restores the environment."""
    monkeypatch.setitem(random_model.PRESETS, "4L-312", (2, 32, 48, 4))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def flags(out, models, **changes):
    return tiny.flags(
        **{
            "models": models,
            "output_dir": out,
            "threads": 1,
            "lengths": "8",
            "repeats": 3,
            "batches": 2,
            "batch_size": 4,
            "kernels": "off",
            **changes,
        }
    )


def test_models_of_every_kind(tmp_path, vocabulary, small, capsys):
    model = tiny.write_model(tmp_path / "model", vocabulary)
    export(tiny.flags(model_dir=model, output_dir=tmp_path / "onnx", kernels="off"))
    (tmp_path / "onnx" / "eval_results.json").write_text(
        json.dumps({"eval_accuracy": 0.75, "eval_samples": 13})
    )
    models = {
        "floats": "random:4L-312",
        "bytes": "random:4L-312:int8",
        "weights": model,
        "export": tmp_path / "onnx",
    }
    main(flags(tmp_path / "out", ",".join(f"{name}={spec}" for name, spec in models.items())))
    found = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    rows = {(row["model"], row["length"]): row for row in found["rows"]}
    assert list(rows) == [(name, 8) for name in models]
    assert rows["floats", 8]["times_faster"] == rows["floats", 8]["times_more"] == 1.0
    assert 0 < rows["weights", 8]["p50_ms"] <= rows["weights", 8]["p95_ms"]
    assert rows["bytes", 8]["of_the_first"] < 0.5
    assert rows["export", 8]["accuracy"] == 0.75 and "accuracy" not in rows["weights", 8]
    kinds = [(rows[name, 8]["engine"], rows[name, 8]["precision"]) for name in models]
    assert kinds == [
        ("ONNX Runtime", "fp32"),
        ("ONNX Runtime", "int8"),
        ("MindSpore", "fp32"),
        ("ONNX Runtime", "fp32"),
    ]
    assert found["machine"]["threads"] == 1 and {"processor", "instructions"} < set(found["machine"])
    lines = capsys.readouterr().out
    assert (tmp_path / "out" / "table.md").read_text().strip() in lines and "instructions: " in lines
    assert (tmp_path / "out" / "quality.png").is_file()


@pytest.mark.parametrize("content", ["[]", '{"eval_samples": 3, "eval_accuracy": null}'])
def test_results_without_metrics(tmp_path, content):
    (tmp_path / "eval_results.json").write_text(content)
    assert quality_of(tmp_path) is None


def test_metrics_of_other_results(tmp_path):
    """MNLI's mismatched rows, and the numbers of transformers' Trainer that are no metrics."""
    written = {"eval_loss": 0.6, "eval_matthews_correlation": 0.5, "eval_runtime": 3.0}
    (tmp_path / "eval_results.json").write_text(json.dumps(written))
    assert quality_of(tmp_path) == ("matthews_correlation", 0.5)
    written = {"eval_accuracy": 0.8, "eval_samples": 9815, "eval_accuracy_mm": 0.81, "eval_samples_mm": 9832}
    (tmp_path / "eval_results.json").write_text(json.dumps(written))
    assert metrics_of(tmp_path) == {"accuracy": (0.8, 9815), "accuracy_mm": (0.81, 9832)}


def test_calls_are_interleaved():
    order = []
    times = interleaved_latencies_ms([lambda: order.append("a"), lambda: order.append("b")], 3, warm_up=2)
    assert order == [*"aabb", *"ababab"]
    assert times.shape == (2, 3) and (times >= 0).all()


def test_several_lengths(tmp_path, small):
    main(flags(tmp_path / "out", "a=random:4L-312,b=random:4L-312", lengths="16,8"))
    rows = json.loads((tmp_path / "out" / "benchmark.json").read_text())["rows"]
    assert [(row["length"], row["model"]) for row in rows] == [(16, "a"), (16, "b"), (8, "a"), (8, "b")]
    assert not (tmp_path / "out" / "quality.png").exists()


def test_random_weights_match_trained_ones_in_size(small):
    assert weight_count(random_model.random_config("bert-base")) == 109_483_778
    arrays = random_model.random_arrays(random_model.random_config("4L-312"))
    norm = arrays["bert.encoder.layer.0.output.LayerNorm.weight"]
    assert 0.9 < norm.mean() < 1.1 and 0 < np.abs(arrays["classifier.weight"]).max() < 0.2


WRONG = {
    "no name": ({"models": "here"}, "is not name=FOLDER"),
    "no folder": ({"models": "a=none"}, '"a=none" is not name=FOLDER'),
    "one name twice": ({"models": "a=random:4L-312,a=random:4L-312"}, "its own name"),
    "no preset": ({"models": "a=random:4L-313"}, 'did you mean "4L-312"'),
    "no precision": ({"models": "a=random:4L-312:int4"}, "precision int4 is not one of"),
    "no number": ({"lengths": "8,x"}, "comma list of numbers"),
    "length of zero": ({"lengths": "0"}, "comma list of numbers"),
    "too long": ({"lengths": "16,1024"}, "more than the 512 positions of a"),
}


def test_measured_models_are_never_deleted(tmp_path, vocabulary):
    model = tiny.write_model(tmp_path / "out" / "best", vocabulary)
    with pytest.raises(UserError, match="contains .*best, which this run reads"):
        main([*flags(tmp_path / "out", f"a={model}"), "--overwrite_output_dir"])
    assert (model / "model.safetensors").is_file()


@pytest.mark.parametrize("changes, message", WRONG.values(), ids=WRONG)
def test_wrong_flags(tmp_path, small, changes, message):
    with pytest.raises(UserError, match=message):
        main(flags(**{"out": tmp_path / "out", "models": "a=random:4L-312", **changes}))
    assert not list(tmp_path.iterdir())


def test_default_lengths_end_at_the_positions():
    def subject(positions):
        return Subject("a", None, "", "", 0.0, 100, positions)

    assert default_lengths([subject(512), subject(128)]) == [16, 64, 128]
    assert default_lengths([subject(512), subject(64)]) == [16, 64]
    assert default_lengths([subject(8)]) == [8]
