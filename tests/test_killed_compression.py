"""compress, killed with -9 at five points and interrupted with Ctrl+C, reports what an unbroken run does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import tiny
from tests.stages.compress.test_run import without_times

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300  # seconds until a point is reached
# The step, and a file below the output folder that is there at the point.
POINTS = (
    ("prepare", "journal.json"),
    ("export-model-fp32", "journal.json"),
    ("measure", "models/measure/run_config.json"),
    ("distill-half", "models/half/checkpoints/phase1_step_*.safetensors"),
    ("distill-half", "models/half/checkpoints/phase2_step_*.safetensors"),
    ("export-half-int8", "report.html"),
)


def start(inputs, output, *more):
    flags = tiny.flags(
        model_dir=inputs / "model",
        train_file=inputs / "rows.csv",
        text_columns="sentence",
        max_seq_length=16,
        max_drop=100,
        prefer="size",
        output_dir=output,
    )
    return subprocess.Popen(
        [sys.executable, "-m", "src.tools.compress", *flags, *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def reached(output, step, pattern):
    file = output / "journal.json"
    begun = json.loads(file.read_text())["begun"] if file.is_file() else {}
    return step in begun and any(output.glob(pattern))


def finish(process):
    printed, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, printed
    return printed


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "rows.csv").write_text(tiny.single_rows(100, 1).replace("\t", ","))
    tiny.write_model(folder / "model", tiny.write_vocabulary(folder / "vocabulary"))
    return folder


@pytest.mark.slow
def test_a_killed_run_reports_what_an_unbroken_one_reports(inputs, tmp_path):
    finish(start(inputs, tmp_path / "unbroken"))
    output, resumed = tmp_path / "out", []
    for number, (step, pattern) in enumerate(POINTS):
        process = start(inputs, output, *resumed)
        deadline = time.monotonic() + PATIENCE
        while not reached(output, step, pattern):
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
            time.sleep(0.02)
        interrupted = pattern.count("phase1")
        os.killpg(process.pid, signal.SIGINT if interrupted else signal.SIGKILL)
        printed, _ = process.communicate(timeout=PATIENCE)
        if interrupted:
            # While a graph runs MindSpore turns SIGINT into SIGTERM.
            assert process.returncode in (130, 143) and "interrupted; " in printed and "--resume" in printed
            report = json.loads((output / "report.json").read_text())
            assert report["status"] == "interrupted"
            assert [each["name"] for each in report["candidates"]] == ["model-fp32", "model-int8"]
            assert (output / "recommended" / "model.onnx").is_file()
        else:
            assert process.returncode == -signal.SIGKILL, f"point {number}: {printed}"
        resumed = ["--resume"]
    finish(start(inputs, output, "--resume"))
    reports = [
        json.loads((folder / "report.json").read_text().replace(str(folder), "OUT"))
        for folder in (tmp_path / "unbroken", output)
    ]
    assert without_times(reports[0]) == without_times(reports[1])
    assert reports[0]["chosen"] == reports[1]["chosen"] == "half-int8"
    assert reports[0]["changed"] == reports[1]["changed"]
    tiny.assert_overwritable(output)
