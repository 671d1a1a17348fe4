"""Runs that are killed with -9 at random moments and resumed end where an unbroken run ends, bit for bit."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import tiny

ROOT = Path(__file__).resolve().parents[1]
KILLS = 4


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    vocabulary = tiny.write_vocabulary(folder / "vocabulary")
    config = tiny.TINY.replace(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    tiny.write_model(folder / "teacher", vocabulary, config)
    texts = {"train": tiny.single_rows(60, 1), "dev": tiny.single_rows(20, 2)}
    return folder, tiny.prepare_task(folder / "task", vocabulary, "SST-2", texts)


def command(inputs, output, ranks):
    folder, records = inputs
    flags = tiny.flags(
        task_name="SST-2",
        load_teacher_ckpt_path=folder / "teacher",
        load_gd_ckpt_path="",
        num_hidden_layers=1,
        hidden_size=24,
        num_attention_heads=4,
        intermediate_size=32,
        train_data_dir=records,
        eval_data_dir=records,
        output_dir=output,
        td_phase1_epoch_size=6,
        td_phase2_epoch_size=6,
        batch_size=8 // ranks,
        learning_rate=1e-3,
        hidden_dropout_prob=0.1,
        save_ckpt_step=5,
        logging_step=1,
        length_buckets="off",
    )
    started = [sys.executable] if ranks == 1 else ["bash", str(ROOT / "scripts/launch.sh"), "cpu", str(ranks)]
    return [*started, "run_task_distill.py", *flags]


def start(inputs, output, ranks, *more):
    return subprocess.Popen(
        command(inputs, output, ranks) + list(more),
        cwd=ROOT if ranks == 1 else output.parent,
        env={**os.environ, "PYTHON": sys.executable, "MASTER_PORT": tiny.free_port()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process):
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    return printed


def steps_logged(output):
    log = output / "losses.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def kill_after(process, output, steps):
    """kill -9 when the log has this many lines. Returns False when the run ended before."""
    launched = "bash" in process.args
    while process.poll() is None:
        # Of several ranks the first, not the launcher: that has to notice, and to end the others. The log may
        # have the lines before the rank is there: the run before was not killed at once.
        if steps_logged(output) >= steps and (rank := first_rank(output) if launched else process.pid):
            os.kill(rank, signal.SIGKILL)
            process.communicate(timeout=60)
            return True
        time.sleep(0.01)
    return False


def first_rank(output):
    """The process number of the first rank, or None before it has begun."""
    found = subprocess.run(["pgrep", "-o", "-f", f"python -u .*{output}"], capture_output=True, text=True)
    return int(found.stdout) if found.stdout else None


def losses(output):
    entries = [json.loads(line) for line in (output / "losses.jsonl").read_text().splitlines()]
    return [(e["phase"], e["step"], e["loss"], e["parts"], e["loss_scale"]) for e in entries]


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_killed_runs_end_where_unbroken_ones_end(inputs, tmp_path, ranks):
    if not shutil.which("g++"):
        pytest.skip("without the kernels the framework draws dropout masks that cannot be restored")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(inputs, whole, ranks))
    again = tmp_path / "again"
    finish(start(inputs, again, ranks))
    assert losses(again) == losses(whole), "two unbroken runs differ"
    total, draw, killed, more = steps_logged(whole), random.Random(ranks), 0, []
    for steps in sorted(draw.sample(range(3, total - 3), KILLS)):
        killed += kill_after(start(inputs, broken, ranks, *more), broken, steps)
        tiny.assert_overwritable(broken)
        more = ["--resume"]
    printed = finish(start(inputs, broken, ranks, *more))
    assert killed == KILLS and "resumed from" in printed
    assert losses(broken) == losses(whole)
    for name in ("phase1", "last", "best"):
        one, two = (load_file(folder / name / "model.safetensors") for folder in (whole, broken))
        for key in one:
            np.testing.assert_array_equal(one[key], two[key], err_msg=f"{name} {key}")
