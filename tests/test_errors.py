"""How a program ends: one sentence and an exit code, and --traceback for the rest."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from src.config.cli import parse
from src.config.evaluate_config import EvaluateConfig
from src.errors import UserError, run_main
from src.files import reading

ROOT = Path(__file__).resolve().parents[1]


def test_a_bug_is_one_sentence_that_says_how_to_report_it(tmp_path, monkeypatch, capsys):
    def main():
        raise ZeroDivisionError("division by zero\nand more")

    monkeypatch.setattr(sys, "argv", ["run_finetune.py"])
    with pytest.raises(SystemExit) as stop:
        run_main(main)
    error = capsys.readouterr().err
    assert stop.value.code == 1 and re.fullmatch(
        r"error: unexpected ZeroDivisionError in test_errors.py, line \d+: division by zero; this may be "
        r"a bug: run the command again with --traceback and report what it prints\n",
        error,
    )


def test_traceback_shows_what_caused_an_error(monkeypatch, capsys):
    def main():
        assert parse(EvaluateConfig, flags).config.task_name == "SST-2"
        with reading("x.bin", "a picture"):
            raise ZeroDivisionError("division by zero")

    flags = ["--task_name=SST-2", "--eval_data_dir=x", "--model_dir=y", "--traceback"]
    monkeypatch.setattr(sys, "argv", ["evaluate", *flags])
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(SystemExit) as stop:
        run_main(main)
    *lines, last = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and last.startswith(
        "error: x.bin cannot be read as a picture: division by zero"
    )
    assert lines[0].startswith("Traceback") and "ZeroDivisionError: division by zero" in lines


def test_a_graph_that_does_not_compile_leaves_nothing(tmp_path):
    """MindSpore writes it to rank_0/om/analyze_fail.ir."""
    (tmp_path / "broken.py").write_text(
        """
from src.errors import run_main
def main():
    from mindspore import GRAPH_MODE, Tensor, nn, ops, set_context
    set_context(mode=GRAPH_MODE)
    class Broken(nn.Cell):
        def construct(self, x):
            return ops.matmul(x, ops.zeros((7, 5)))
    Broken()(Tensor([[1.0, 2.0, 3.0]]))
run_main(main)"""
    )
    (tmp_path / "temporary").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary")}
    environment.pop("MS_OM_PATH", None)
    done = subprocess.run(
        [sys.executable, "broken.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1 and "must be equal to shape2[-2]" in done.stderr.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["broken.py", "temporary"]


def test_text_of_a_file_is_quoted_in_a_printable_length():
    """Keys of 100,000 letters, and characters by which a file could write to the terminal."""
    message = str(UserError(f'a.json: unknown key "{"x" * 100_000}" (\x1b[31m\n\u202e); remove it'))
    assert len(message) < 600 and "(100,002 characters)" in message and message.endswith("remove it")
    assert "\\x1b[31m\\n\\u202e" in message and message.isprintable()
    assert len(str(UserError("many words " * 100_000))) < 2100
    ordinary = f'{"/folder" * 40}/naïve 模型 "x": 1'
    assert str(UserError(ordinary)) == ordinary


def test_commands_read_tfrecords_with_the_fast_parser():
    """MindSpore would choose the one in Python, unless it is told otherwise before it is imported."""
    program = """
from src.errors import run_main

def main():
    import mindspore
    from google.protobuf.internal import api_implementation
    print("parser:", api_implementation.Type())

run_main(main)
"""
    environment = {k: v for k, v in os.environ.items() if k != "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert "parser: upb" in done.stdout, done.stderr
