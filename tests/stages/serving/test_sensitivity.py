"""A limit on the metric's drop in int8: the sensitive layers, and no others, stay in float32."""

import dataclasses
import json
import re

import numpy as np
import pytest

from src.config.quantization import Quantization
from src.errors import UserError
from src.infer.onnx.session import count_matmuls
from src.stages.serving import sensitivity
from src.stages.serving.export import export
from src.stages.serving.predict import Classifier
from src.stages.serving.quality import Quality
from src.tools.export import ExportConfig
from tests import tiny

ROWS, LIMIT = 60, 10.0
OUTPUT = "bert.encoder.layer.0.output.dense"


def outliers(*layers):
    """Weights of TINY in which those of `layers` round to zero: one more per row is 100, times an input that
    is 0."""
    arrays = tiny.random_arrays(tiny.TINY, seed=7)
    for layer, before in (
        ("classifier", "bert.pooler.dense"),
        (OUTPUT, "bert.encoder.layer.0.intermediate.dense"),
    ):
        if layer in layers:
            arrays[f"{before}.weight"][5] = arrays[f"{before}.bias"][5] = 0.0
            arrays[f"{layer}.weight"][:, 5] = 100.0
    return arrays


def labelled_by(model, folder, vocabulary):
    """Records whose labels are the predictions of a model, so that its accuracy is 1."""
    texts = [tiny.sentence(np.random.default_rng(row), tiny.MARKS["0"]) for row in range(ROWS)]
    labels = [label for label, _ in Classifier(model)(texts)]
    assert 10 < labels.count("0") < ROWS - 10
    lines = [f"{text}\t{label}" for text, label in zip(texts, labels, strict=True)]
    file = "\n".join(["sentence\tlabel", *lines]) + "\n"
    return tiny.prepare_task(folder, vocabulary, "SST-2", {"train": file, "dev": file})


def run(model, out, records, **values):
    values = {"precision": "int8", "eval_data_dir": str(records), "max_drop": LIMIT, **values}
    return export(ExportConfig(model_dir=str(model), output_dir=str(out), kernels="off", **values))


def test_the_limit_of_a_dynamic_file(tmp_path, vocabulary):
    arrays = outliers()
    arrays["bert.embeddings.token_type_embeddings.weight"][1, 3] = 1000.0  # of a segment that no row has
    model = tiny.write_model(tmp_path / "model", vocabulary, arrays=arrays)
    records = labelled_by(model, tmp_path / "data", vocabulary)
    result = run(model, tmp_path / "out", records, precision="int8-dynamic")
    assert result.float_layers == ("bert.embeddings.token_type_embeddings",)
    assert result.quality.drop <= LIMIT and count_matmuls(result.file) == (14, 4)


@pytest.mark.parametrize("layer", ["classifier", OUTPUT])
def test_the_sensitive_layer_stays_in_float(tmp_path, vocabulary, capsys, layer):
    model = tiny.write_model(tmp_path / "model", vocabulary, arrays=outliers(layer))
    records = labelled_by(model, tmp_path / "data", vocabulary)
    result = run(model, tmp_path / "out", records, calibration_data=str(records))
    assert result.float_layers == (layer,)
    assert result.quality.metric_float == 1.0 and result.quality.drop <= LIMIT
    assert json.loads((result.out / "config.json").read_text())["quantization"]["float_layers"] == [layer]
    assert count_matmuls(result.file) == (13, 5)
    printed = capsys.readouterr().out
    in_int8 = re.search(r"acc over 60 rows: 1.0000 in float32, ([\d.]+) in int8", printed)
    assert float(in_int8[1]) < 1 - LIMIT / 100 and "\n1 layer in float32: acc " in printed
    rows = re.findall(r"^\| (\S+) +\| (float32|int8) ", printed, re.MULTILINE)
    assert rows[0] == (layer, "float32") and [kind for _, kind in rows[1:]] == ["int8"] * sensitivity.NEXT
    assert Classifier(result.out).config.quantization.float_layers == (layer,)


def test_a_limit_that_int8_keeps(tmp_path, vocabulary, capsys):
    model = tiny.write_model(tmp_path / "model", vocabulary, arrays=outliers())
    records = labelled_by(model, tmp_path / "data", vocabulary)
    result = run(model, tmp_path / "out", records, calibration_data=str(records))
    assert result.float_layers == () and "--max_drop" not in capsys.readouterr().out


def test_nothing_keeps_the_limit(tmp_path, vocabulary):
    arrays, records = outliers(), None
    records = labelled_by(
        tiny.write_model(tmp_path / "float", vocabulary, arrays=arrays), tmp_path / "data", vocabulary
    )
    two_bits = Quantization(weight_bits=2, embedding_bits=2, activation_bits=2)
    config = tiny.TINY.replace(quantization=two_bits)
    ranges = {name: np.full(1, 3.0, np.float32) for name in tiny.random_arrays(config) if name not in arrays}
    model = tiny.write_model(tmp_path / "model", vocabulary, config, {**arrays, **ranges})
    with pytest.raises(
        UserError, match="no int8 file of .* keeps --max_drop: acc is .* with the 8 most sens"
    ):
        run(model, tmp_path / "out", records)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("needed", [1, 2, 3, 5, 8, 10])
def test_the_fewest_layers_are_found(needed):
    names, tried = [f"layer {i}" for i in range(20)], []

    def measure(kept):
        tried.append(len(kept))
        assert list(kept) == names[: len(kept)]
        return Quality("acc", 100, 1.0, 1.0 if len(kept) >= needed else 0.5)

    files = dataclasses.make_dataclass("Files", ["source"])("here")
    count, found = sensitivity.fewest(names, measure, lambda quality: quality.drop == 0.0, files)
    assert count == needed and found.drop == 0.0 and len(tried) == len(set(tried)) <= 7


REFUSED = {
    "without records": ({"eval_data_dir": ""}, "--max_drop requires --eval_data_dir"),
    "in float": ({"precision": "fp32"}, "--max_drop requires --precision int8"),
}


@pytest.mark.parametrize("values, message", REFUSED.values(), ids=REFUSED)
def test_wrong_flags(tmp_path, vocabulary, values, message):
    model = tiny.write_model(tmp_path / "model", vocabulary)
    with pytest.raises(UserError, match=message):
        run(model, tmp_path / "out", tmp_path, **values)
    assert not (tmp_path / "out").exists()


def test_rows_of_another_task_are_refused(tmp_path, vocabulary, sst2):
    other = tiny.write_model(tmp_path / "model", vocabulary, tiny.TINY.replace(labels=("a", "b")))
    with pytest.raises(UserError, match="predicts a, b, but .* is of SST-2, with 0, 1"):
        run(other, tmp_path / "out", sst2, calibration_data=str(sst2))
    assert not (tmp_path / "out").exists()
