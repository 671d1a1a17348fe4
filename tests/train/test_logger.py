"""The log of a run: a resumed run truncates and appends; TensorBoard without PyTorch."""

import json
import subprocess
import sys

import pytest

from src.train.logger import RunLogger, Speed, clock


@pytest.mark.parametrize("truncated", [True, False])
def test_a_resumed_run_drops_the_steps_after_its_checkpoint(tmp_path, truncated):
    logger = RunLogger(quiet=True)
    logger.open(tmp_path)
    for phase, step in [(1, 2), (1, 4), (2, 2), (2, 4)]:
        logger.log_step(phase=phase, step=step, loss=step / 10)
    with open(tmp_path / "losses.jsonl", "a") as log:
        log.write('{"phase": 2, "st' if truncated else '{"phase": 2, "step": 4, "parts": {"hidden": 0.5}')
    logger.truncate(2, 3)
    logger.log_step(phase=2, step=4, loss=9.0)
    logger.close()
    entries = [json.loads(line) for line in (tmp_path / "losses.jsonl").read_text().splitlines()]
    assert [(entry["phase"], entry["step"]) for entry in entries] == [(1, 2), (1, 4), (2, 2), (2, 4)]
    assert entries[-1]["loss"] == 9.0


def test_a_resumed_run_appends_to_its_log(tmp_path):
    for number in (1, 2):
        logger = RunLogger(quiet=True)
        logger.info(f"before {number}")  # kept until there is a folder
        logger.open(tmp_path)
        logger.info(f"line {number}")
        logger.close()
    assert (tmp_path / "log.txt").read_text().splitlines() == ["before 1", "line 1", "before 2", "line 2"]


def test_clock():
    assert clock(0.2) == "0:00:01" and clock(3725) == "1:02:05"
    assert Speed().read(5)[0] == 0.0


@pytest.mark.parametrize("before", ["", "import torch; "])
def test_tensorboard_does_not_import_pytorch(before, tmp_path):
    if before:
        pytest.importorskip("torch")
    code = (
        f"{before}import sys; was = sys.modules.get('torch'); from src.train.logger import event_writer; "
        f"event_writer({str(tmp_path)!r}).close(); assert sys.modules.get('torch') is was"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
