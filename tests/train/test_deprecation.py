"""Training calls nothing that MindSpore has announced to remove."""

import os
import subprocess
import sys
from pathlib import Path

from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
# Deprecated by MindSpore's documentation alone: calling them prints nothing yet.
DOCUMENTED = ("nn.AdamWeightDecay(", "ms.hal.", "auto_parallel_context(", "ms.get_context(")


def test_a_training_run_prints_no_such_warning(tmp_path, vocabulary, sst2):
    """Default settings, at the log level of MindSpore that shows warnings; entry points show errors only."""
    tiny.write_model(tmp_path / "model", vocabulary)
    command = [sys.executable, "run_finetune.py", "--task_name", "SST-2", "--epoch_size", "1"]
    command += ["--load_pretrained_path", str(tmp_path / "model"), "--output_dir", str(tmp_path / "run")]
    command += ["--train_data_dir", str(sst2), "--eval_data_dir", str(sst2)]
    environment = {**os.environ, "GLOG_v": "2"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    printed = done.stdout + done.stderr
    assert "best model:" in printed
    lines = [line for line in printed.splitlines() if "deprecat" in line.lower()]
    assert not lines, "\n".join(lines)


def test_documentation_announces_no_removal():
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [call for call in DOCUMENTED if call in text], path
