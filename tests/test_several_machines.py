"""Runs over several machines: the commands on each, and a real run of two on loopback addresses."""

import json
import os
import subprocess

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import tiny
from tests.test_distributed_launchers import LAUNCH, PYTHON, ROOT
from tests.test_rank_table import table


def launch(folder, *arguments, **environment):
    return subprocess.run(
        ["bash", LAUNCH, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHON": PYTHON, "CORES": "96", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "job.py").write_text("print(1)\n")
    return tmp_path


@pytest.mark.parametrize("node", [0, 1])
def test_eight_workers_on_each_of_two_machines(folder, node):
    place = {"NODES": "2", "NODE_RANK": str(node), "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "9000"}
    lines = launch(folder, "ascend", "16", "msrun", "job.py", "--dry_run", **place).stdout.splitlines()
    meeting = "env -u RANK_TABLE_FILE MS_WORKER_NUM=16 MS_SCHED_HOST=10.0.0.1 MS_SCHED_PORT=9000 RANK_SIZE=16"
    if node == 0:
        assert lines.pop(0).startswith(f"scheduler/log.txt: {meeting} MS_ROLE=MS_SCHED RANK_ID=0 ")
    assert len(lines) == 8
    for local, line in enumerate(lines):
        rank = 8 * node + local
        assert line == (
            f"LOG{rank}/log.txt: {meeting} MS_ROLE=MS_WORKER MS_NODE_ID={rank} RANK_ID={rank} "
            f"DEVICE_ID={local} taskset -c {12 * local}-{12 * local + 11} {PYTHON} -u job.py "
            f"--distribute true --device_num 16 --device_target Ascend --device_id {local}"
        )


@pytest.mark.parametrize("server", [0, 1])
def test_eight_devices_of_each_of_two_servers(folder, server):
    rows = [(f"10.0.0.{8 + rank // 8}", rank % 8, f"192.1.2.{rank}", rank) for rank in range(16)]
    content = table(*rows)
    (folder / "hccl.json").write_text(json.dumps(content))
    lines = launch(
        folder, "ascend", "16", "hccl.json", "job.py", "--dry_run", SERVER_ID=f"10.0.0.{server + 8}"
    ).stdout.splitlines()
    assert len(lines) == 8
    for local, line in enumerate(lines):
        assert f"RANK_ID={8 * server + local} RANK_SIZE=16 DEVICE_ID={local} " in line


def test_mpirun_starts_the_ranks_of_a_hostfile(folder):
    (folder / "hosts").write_text("one slots=8\ntwo slots=8\n")
    shown = launch(
        folder, "gpu", "16", "job.py", "--dry_run", HOSTFILE="hosts", LD_LIBRARY_PATH="/cuda"
    ).stdout
    as_root = " --allow-run-as-root" if os.geteuid() == 0 else ""
    start, note = shown.splitlines()
    assert start == (
        "mpirun/log.txt: env -u MS_ROLE -u RANK_TABLE_FILE RANK_SIZE=16 mpirun -n 16 --hostfile hosts "
        "-x RANK_SIZE -x SCHEDULER -x RESUME_COMMAND -x PATH -x LD_LIBRARY_PATH --bind-to none"
        f"{as_root} bash {ROOT}/scripts/rank.sh GPU {PYTHON} -u job.py --distribute true --device_num 16 "
        "--device_target GPU"
    )
    assert note.startswith("LOG<rank>/log.txt on the rank's machine")


@pytest.mark.parametrize(
    ("way", "variables", "complaint"),
    [
        ("cpu", {"NODES": "x"}, "NODES 'x' is not a number of machines"),
        ("cpu", {"NODES": "2", "NODE_RANK": "2"}, "NODE_RANK '2' is not a number from 0 to 1"),
        ("cpu", {"NODES": "3"}, "4 processes cannot be shared equally among 3 machines"),
        ("cpu", {"NODES": "2"}, "NODES=2 needs MASTER_ADDR"),
        ("gpu", {"HOSTFILE": "none"}, "HOSTFILE none does not exist"),
        ("gpu", {"HOSTFILE": "job.py", "DEVICE_TARGET": "CPU"}, "HOSTFILE on CPUs needs MASTER_ADDR"),
    ],
)
def test_wrong_variables(folder, way, variables, complaint):
    refused = launch(folder, way, "4", "job.py", "--dry_run", **variables)
    assert refused.returncode == 2 and refused.stderr.startswith(f"error: {complaint}")
    assert not refused.stdout


def start(folder, place, records, out, **environment):
    (folder / place).mkdir(exist_ok=True)
    flags = tiny.flags(
        task_name="SST-2",
        load_pretrained_path=folder / "model",
        train_data_dir=records,
        eval_data_dir=records,
        epoch_size=2,
        batch_size=4,
        output_dir=out,
    )
    return subprocess.Popen(
        ["bash", LAUNCH, "cpu", "2", ROOT / "run_finetune.py", *flags],
        cwd=folder / place,
        env={**os.environ, "PYTHON": PYTHON, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    printed, _ = process.communicate(timeout=500)
    assert process.returncode == 0, printed
    return printed


@pytest.mark.slow
def test_two_machines_train_as_one_with_two_ranks(tmp_path, vocabulary, sst2):
    """The machines are two loopback addresses, each with a folder and a launcher of its own."""
    tiny.write_model(tmp_path / "model", vocabulary, tiny.TINY.replace(hidden_dropout_prob=0.1))
    # One thread for each rank on both ways: the number of threads changes the order of sums.
    finish(start(tmp_path, "one", sst2, tmp_path / "one_machine", CORES="2"))
    cluster = {"NODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": tiny.free_port(), "CORES": "1"}
    machines = [
        start(
            tmp_path,
            f"machine{node}",
            sst2,
            tmp_path / "two_machines",
            **cluster,
            NODE_RANK=str(node),
            NODE_ADDR=f"127.0.0.{node + 1}",
        )
        for node in range(2)
    ]
    for machine in machines:
        finish(machine)
    assert (tmp_path / "machine1" / "LOG1").is_dir() and not (tmp_path / "machine1" / "scheduler").exists()
    one, two = (
        load_file(tmp_path / name / "last" / "model.safetensors") for name in ("one_machine", "two_machines")
    )
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)
