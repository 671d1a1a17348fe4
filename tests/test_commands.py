"""python -m src: the list of commands."""

import subprocess
import sys

from src.__main__ import commands, summary_of


def test_every_command_has_a_line():
    listed = dict(commands())
    assert {"python run_finetune.py", "python run_task_distill.py", "python -m src.tools.prepare"} <= set(listed)
    for path in listed.values():
        summary = summary_of(path)
        assert len(summary) > 10 and not summary.startswith("python")


def test_listing_them_needs_no_package():
    # -S leaves site-packages out: neither MindSpore nor anything else may be asked for.
    listed = subprocess.run([sys.executable, "-S", "-m", "src"], capture_output=True, text=True, check=True).stdout
    assert "python -m src.tools.doctor" in listed
