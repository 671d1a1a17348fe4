"""python -m src, or bert-compression: the list of commands, running one by name, tab completion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.__main__ import commands, summary_of

ROOT = Path(__file__).resolve().parent.parent
SOME = {"python run_finetune.py", "python run_task_distill.py", "python -m src.tools.prepare"}


def test_every_command_has_a_line():
    listed = dict(commands())
    assert set(listed) >= SOME
    for path in listed.values():
        summary = summary_of(path)
        assert len(summary) > 10 and not summary.startswith("python")


def test_listing_them_needs_no_package():
    # -S leaves site-packages out: neither MindSpore nor anything else may be asked for.
    listing = subprocess.run([sys.executable, "-S", "-m", "src"], cwd=ROOT, capture_output=True, text=True)
    assert listing.returncode == 0 and "python -m src.tools.doctor" in listing.stdout


@pytest.mark.parametrize("command", ["src", "src.tools.rank_table --help"])
def test_a_reader_that_went_away(command):
    """As `| head` does: no traceback, neither from what is printed nor from what Python still held back."""
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
