"""python -m src, or bert-compression: list of commands, commands by name, tab completion."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from src.__main__ import commands, summary_of
from src.commands import restart_command

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = {"python run_finetune.py", "python run_task_distill.py", "python -m src.tools.prepare"}


def test_every_command_is_listed():
    listed = dict(commands())
    assert set(listed) >= EXPECTED
    for path in listed.values():
        summary = summary_of(path)
        assert len(summary) > 10 and not summary.startswith("python")


def test_the_list_needs_no_package():
    # -S disables site-packages: neither MindSpore nor any other package may be imported.
    listing = subprocess.run([sys.executable, "-S", "-m", "src"], cwd=ROOT, capture_output=True, text=True)
    assert listing.returncode == 0 and "python -m src.tools.doctor" in listing.stdout


@pytest.mark.parametrize("command", ["src", "src.tools.rank_table --help"])
def test_a_closed_pipe(command):
    """As with `| head`: no traceback, neither from print nor from flushing at exit."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open(writer, "w") as output:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr) == (130, "")


def test_a_command_by_name():
    for name in ("rank_table", "rank-table"):
        shown = src(name, "--help")
        assert shown.returncode == 0 and shown.stdout.startswith("usage: python -m src.tools.rank_table ")
    unknown = src("rank_tabel")
    assert unknown.returncode == 2 and unknown.stdout == ""
    sentence = 'unknown command "rank_tabel"; did you mean "rank_table"? (python -m src lists the commands)'
    assert unknown.stderr == f"error: {sentence}\n"


def test_a_stage_by_name():
    shown = src("task_distill", "--help")
    assert shown.returncode == 0 and shown.stdout.startswith("usage: python run_task_distill.py ")
    wrong = src("task_distill", "--task_name", "SST-3")
    assert wrong.returncode == 2 and wrong.stderr.startswith('error: task_name "SST-3" is not one of ')


@pytest.mark.parametrize(
    "line, expected",
    [
        ("prep", {"prepare", "prepare_corpus"}),
        ("predict --model", {"--model_dir"}),
        ("predict --format ", {"tsv", "json"}),
        ("q8bert-train --do_quant t", {"true"}),
        ("predict --model_dir src/to", {"src/tools/"}),
        ("fintune --model", set()),
    ],
)
def test_tab_completion(line, expected, tmp_path):
    """As argcomplete's shell hook calls it: the line and the cursor position are environment variables."""
    line = f"bert-compression {line}"
    request = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": " "}
    file = tmp_path / "completions"
    file.touch()
    done = src(**request, _ARGCOMPLETE_SUPPRESS_SPACE="1", _ARGCOMPLETE_STDOUT_FILENAME=str(file))
    assert done.stdout == "" and set(file.read_text().split()) == expected


def src(*arguments, **environment):
    command = [sys.executable, "-m", "src", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_a_tool_run_as_a_module_is_restarted_as_one(monkeypatch):
    file = ROOT / "src" / "tools" / "compress.py"
    main = types.SimpleNamespace(__spec__=types.SimpleNamespace(name="src.tools.compress"))
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", [str(file), "--seed=1"])
    assert restart_command() == ["python", "-m", "src.tools.compress", "--seed=1"]
