"""Weights that a model does not have: listed, and ignored where --ignore_unexpected names them."""

import dataclasses

import numpy as np
import pytest

from src.config.data_config import ModelConfig
from src.errors import UserError
from src.stages.model.load import read_model
from src.tools.compress import CompressConfig
from src.tools.convert import ConvertConfig
from src.tools.convert import main as convert
from src.tools.predict import main as predict
from src.weights.reader import read_weights
from tests import tiny
from tests.test_readme import PARSERS

EXTRA = {
    "teacher.weight": np.ones((2, 2), np.float32),
    "bert.encoder.layer.0.adapter.scale": np.ones(1, np.float32),
    "loss.count": np.ones(1, np.int64),
}
PATTERNS = "teacher.*,*.adapter.*,loss.count"
# Commands that read no model, or files of one without its weights.
WITHOUT_WEIGHTS = ("prepare", "prepare_corpus", "download", "doctor", "cache", "glue_table", "rank_table")


@pytest.fixture
def folder(tmp_path, vocabulary):
    arrays = {**tiny.random_arrays(tiny.TINY), **EXTRA}
    return tiny.write_model(tmp_path / "model", vocabulary, tiny.TINY, arrays)


def test_convert_lists_them_and_goes_on_where_told(folder, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(UserError, match="stored as int64"):
        convert(tiny.flags(input=folder, output_dir=out))
    with pytest.raises(
        UserError, match=r"2 are unexpected \(bert.encoder.layer.0.adapter.scale, teacher.weight"
    ):
        convert(tiny.flags(input=folder, output_dir=out, ignore_unexpected="loss.count"))
    with pytest.raises(UserError, match=r"1 are unexpected \(teacher.weight; --ignore_unexpected PATTERN"):
        convert(tiny.flags(input=folder, output_dir=out, ignore_unexpected="loss.*,*adapter*"))
    assert not out.exists()
    convert(tiny.flags(input=folder, output_dir=out, ignore_unexpected=PATTERNS))
    tiny.assert_same_weights(read_weights(out).arrays, tiny.random_arrays(tiny.TINY))
    said = capsys.readouterr().out
    assert all(name in said for name in EXTRA)


def test_predict_goes_on_where_told(folder, capsys, graph_mode):
    arguments = tiny.flags(model_dir=folder, text="bade")
    with pytest.raises(UserError, match="unexpected"):
        predict([*arguments, "--ignore_unexpected=loss.*"])
    predict([*arguments, f"--ignore_unexpected={PATTERNS}"])
    assert capsys.readouterr().out.count("\t") == 1


def test_a_pattern_never_removes_what_the_model_has(folder):
    log = []
    files = read_model(folder, log.append, ignore_unexpected="*")
    tiny.assert_same_weights(files.arrays, tiny.random_arrays(tiny.TINY))
    (line,) = (line for line in log if "--ignore_unexpected" in line)
    assert "teacher.weight" in line and "adapter.scale" in line


def test_every_command_that_reads_weights_has_the_flag():
    with_weights = {
        command: config
        for command, (config, _) in PARSERS.items()
        if not command.endswith(tuple(f".{name}" for name in WITHOUT_WEIGHTS))
    }
    assert len(with_weights) >= 10
    for command, config in with_weights.items():
        assert issubclass(config, ModelConfig) or config in (ConvertConfig, CompressConfig), command
        assert "ignore_unexpected" in {field.name for field in dataclasses.fields(config)}
