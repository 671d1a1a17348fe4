"""Two processes of batch B train what one process of batch 2B trains."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from src.config.finetune_config import resolve
from src.errors import UserError
from src.train.distributed import Ranks, gradient_reducer, join_ranks
from tests import tiny

ROOT = Path(__file__).resolve().parents[2]


def test_a_single_process_needs_no_group():
    _, resolved = resolve(["--task_name", "SST-2"])
    assert join_ranks(resolved.config) == Ranks(0, 1)
    assert gradient_reducer((), Ranks(0, 1)) is None and Ranks(0, 1).is_main and not Ranks(1, 2).is_main


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def finetune(folder, output, *flags, launcher=()):
    # msrun starts `python` from PATH: that of this environment comes first.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [*(launcher or (sys.executable,)), "run_finetune.py", "--task_name", "SST-2"]
    command += ["--load_pretrained_path", str(folder / "model"), "--output_dir", str(output), *flags]
    records = str(folder / "task/records")
    command += ["--train_data_dir", records, "--eval_data_dir", records]
    command += ["--epoch_size", "2", "--learning_rate", "1e-3", "--length_buckets", "off"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return load_file(output / "last/model.safetensors")


@pytest.mark.slow
def test_two_ranks_equal_one_of_twice_the_batch(tmp_path):
    vocabulary = tiny.write_vocabulary(tmp_path / "vocabulary")
    tiny.write_model(tmp_path / "model", vocabulary)
    # 75 rows: the last batch of each epoch is an odd tail, shared by both ranks.
    texts = {"train": tiny.single_rows(75, 1), "dev": tiny.single_rows(20, 2)}
    tiny.prepare_task(tmp_path / "task", vocabulary, "SST-2", texts)
    one = finetune(tmp_path, tmp_path / "one", "--batch_size", "16")
    msrun = str(Path(sys.executable).parent / "msrun")
    launcher = (msrun, "--worker_num=2", "--local_worker_num=2", "--join=True")
    two = finetune(
        tmp_path,
        tmp_path / "two",
        "--batch_size",
        "8",
        "--distribute",
        "--device_num",
        "2",
        launcher=(*launcher, f"--master_port={free_port()}", f"--log_dir={tmp_path / 'logs'}"),
    )
    before = load_file(tmp_path / "model/model.safetensors")
    assert max(np.abs(one[name] - before[name]).max() for name in before if name in one) > 1e-3
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=1e-5, err_msg=name)


def test_distribute_without_a_group_is_one_sentence(monkeypatch):
    def no_group():
        raise RuntimeError("no scheduler\nmore")

    monkeypatch.setattr("src.train.distributed.init", no_group)
    _, resolved = resolve(["--task_name", "SST-2", "--distribute"])
    with pytest.raises(UserError, match="no process group to join .no scheduler.; start the run with"):
        join_ranks(resolved.config)


def test_a_rank_table_that_does_not_exist(monkeypatch):
    monkeypatch.setenv("RANK_TABLE_FILE", "absent.json")
    _, resolved = resolve(["--task_name", "SST-2", "--distribute"])
    with pytest.raises(UserError, match="RANK_TABLE_FILE absent.json does not exist; start the run with"):
        join_ranks(resolved.config)
