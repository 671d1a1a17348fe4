"""The log of a run: a resumed run truncates and appends; TensorBoard without PyTorch."""

import errno
import json
import logging
import os
import re
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
    logger.close()
    logger.open(tmp_path, (2, 3))
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
        f"{before}import sys; was = sys.modules.get('torch'); from src.train.logger import RunLogger; "
        f"RunLogger().open({str(tmp_path)!r}); assert sys.modules.get('torch') is was"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert list((tmp_path / "events").iterdir())


LOGS = ("log.txt", "losses.jsonl", "events.out.tfevents.")


@pytest.mark.parametrize("call", ["open", "write"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES])
@pytest.mark.parametrize("name", LOGS)
def test_a_disk_that_refuses_a_log_is_mentioned_once(tmp_path, monkeypatch, caplog, name, number, call):
    true_call = getattr(os, call)

    def refuse(file, *arguments):
        path = os.readlink(f"/proc/self/fd/{file}") if call == "write" else str(file)
        if os.path.basename(path).startswith(name):
            raise OSError(number, os.strerror(number))
        return true_call(file, *arguments)

    monkeypatch.setattr(os, call, refuse)
    with caplog.at_level(logging.WARNING):
        log_all(tmp_path)
    assert len(caplog.records) == 1
    assert re.search(rf"/{name}\S* cannot be written \(.+\); the run goes on without it$", caplog.messages[0])
    written = {path.name[: len(name)]: path for path in tmp_path.rglob("*") if path.stat().st_size}
    assert name not in written and sum(path.is_file() for path in written.values()) == 2


def log_all(folder):
    logger = RunLogger(quiet=True)
    logger.info("early")
    logger.open(folder)
    for step in range(1, 4):
        logger.info(f"step {step}")
        logger.log_step(phase=1, step=step, loss=step / 10)
        logger.log_metrics({"eval_accuracy": 0.5, "step": step})
    logger.close()


def test_a_full_device(tmp_path, caplog):
    """/dev/full opens, and refuses every write."""
    for name in ("log.txt", "losses.jsonl"):
        (tmp_path / name).symlink_to("/dev/full")
    log_all(tmp_path)
    assert [re.sub(r".*/", "", message) for message in caplog.messages] == [
        f"{name} cannot be written (no space left on the disk); the run goes on without it"
        for name in ("log.txt", "losses.jsonl")
    ]
