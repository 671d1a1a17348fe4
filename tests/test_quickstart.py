"""scripts/quickstart.sh: usage errors and, as a slow test, a full run on a slice."""

import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "quickstart.sh"


def quickstart(*arguments):
    return subprocess.run(["bash", SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--smokes"], "unknown flag --smokes"),
        (["--task_name"], "--task_name needs a value"),
        (["--task_name", "SST-2"], "needs --data_dir"),
        (["--data_dir", "/nowhere/at/all"], "is not a folder"),
        (["--teacher_dir", "/nowhere/at/all"], "is not a folder"),
        (["--work_dir", SCRIPT.parent], "contains files not written by quickstart.sh"),
    ],
)
def test_a_usage_error_is_one_sentence(arguments, complaint):
    refused = quickstart(*arguments)
    assert refused.returncode == 2 and complaint in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.slow
def test_full_run_on_a_slice(tmp_path):
    done = quickstart("--smoke", "--work_dir", tmp_path / "work")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    work = tmp_path / "work"
    rows = json.loads((work / "compare" / "compare.json").read_text())
    assert [row["model"] for row in rows] == ["model", "recommended", "label_only"]
    assert rows[0]["parameters"] == rows[1]["parameters"] == 22713986
    assert rows[2]["parameters"] == 22713986 - 3 * 1774464  # half of the layers
    file = work / "compressed" / "recommended" / "model.onnx"
    assert file.stat().st_size < 0.26 * 4 * 22713986
    assert (work / "compressed" / "report.html").is_file() and (work / "compare" / "losses.png").is_file()
    assert "to delete" in done.stdout
