"""Distributed runs of launch.sh: commands of each process, failure of a rank, Ctrl+C."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import tiny
from tests.test_rank_table import eight, table

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "scripts/launch.sh"
PYTHON = sys.executable

# A fake rank: prints its environment, exits with the code in FAIL_<rank>, or on a signal as a run would.
JOB = """
import os, signal, sys, time
def save(number, frame):
    print("state saved", flush=True)
    sys.exit(130)
signal.signal(signal.SIGINT, save)
place = [os.environ.get(name) for name in ("RANK_ID", "DEVICE_ID", "RANK_SIZE", "MS_ROLE")]
print(*place, *sys.argv[1:], flush=True)
if code := os.environ.get("FAIL_" + os.environ["RANK_ID"]):
    print("something broke", flush=True)
    sys.exit(int(code))
time.sleep(float(os.environ.get("SECONDS_TO_RUN", "0")))
"""


@pytest.fixture
def launched(tmp_path):
    """A function that runs launch.sh, or another script, in a folder with job.py and an hccl.json of two."""
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "two.json").write_text(json.dumps(table(*eight()[:2])))
    (tmp_path / "eight.json").write_text(json.dumps(table(*eight())))

    def run(*arguments, script="launch.sh", **environment):
        return subprocess.run(
            ["bash", ROOT / "scripts" / script, *arguments],
            cwd=tmp_path,
            text=True,
            env={**os.environ, "PYTHON": PYTHON, **environment},
            capture_output=True,
            timeout=60,
        )

    run.folder = tmp_path
    return run


def test_commands_of_eight_ascend_processes(launched):
    shown = launched(
        "8",
        "1",
        "eight.json",
        "--dry_run",
        "--seed",
        "7",
        "--data_dir",
        "records",
        script="run_distributed_gd_ascend.sh",
        CORES="96",
    ).stdout.splitlines()
    assert len(shown) == 8
    for rank, line in enumerate(shown):
        assert line.startswith(
            f"LOG{rank}/log.txt: env -u MS_ROLE RANK_TABLE_FILE={launched.folder}/eight.json RANK_ID={rank} "
            f"RANK_SIZE=8 DEVICE_ID={rank} taskset -c {12 * rank}-{12 * rank + 11} {PYTHON} -u "
            f"{ROOT}/run_general_distill.py --epoch_size 1 --student_preset 4L-312 "
            "--load_teacher_ckpt_path <unset> --dataset_type "
        ), line
        assert line.endswith(
            "--seed 7 --data_dir records --distribute true --device_num 8 --device_target Ascend "
            f"--device_id {rank}"
        ), line
        assert line.count("--data_dir") == 1


def test_commands_of_eight_gpu_processes(launched):
    shown = launched(
        "8",
        "3",
        "train",
        "dev",
        "schema.json",
        "teacher",
        "",
        "SST-2",
        "--dry_run",
        script="run_distributed_td_gpu.sh",
    ).stdout.splitlines()
    as_root = " --allow-run-as-root" if os.geteuid() == 0 else ""
    assert shown[0].startswith(
        "mpirun/log.txt: env -u MS_ROLE -u RANK_TABLE_FILE RANK_SIZE=8 mpirun -n 8 --oversubscribe "
        f"--bind-to none{as_root} bash {ROOT}/scripts/rank.sh GPU {PYTHON} -u {ROOT}/run_task_distill.py "
        "--td_phase1_epoch_size 3 --train_data_dir train --eval_data_dir dev --schema_dir schema.json "
        "--load_teacher_ckpt_path teacher --load_gd_ckpt_path '' --task_name SST-2 --td_phase2_epoch_size 3 "
    )
    assert shown[0].endswith("--distribute true --device_num 8 --device_target GPU")
    expected = [f"LOG{rank}/log.txt: mpirun's rank {rank} with --device_id {rank}" for rank in range(8)]
    assert shown[1:] == expected


def test_commands_of_a_cluster(launched):
    shown = launched(
        "2",
        "job.py",
        "--seed",
        "7",
        "--dry_run",
        script="run_distributed_cpu.sh",
        CORES="8",
        MASTER_PORT="9000",
    ).stdout.splitlines()
    meeting = "env -u RANK_TABLE_FILE MS_WORKER_NUM=2 MS_SCHED_HOST=127.0.0.1 MS_SCHED_PORT=9000 RANK_SIZE=2"
    assert shown[0].startswith(f"scheduler/log.txt: {meeting} OMP_NUM_THREADS=4 MS_ROLE=MS_SCHED RANK_ID=0 ")
    for rank, line in enumerate(shown[1:]):
        assert line == (
            f"LOG{rank}/log.txt: {meeting} OMP_NUM_THREADS=4 MS_ROLE=MS_WORKER MS_NODE_ID={rank} "
            f"RANK_ID={rank} DEVICE_ID={rank} {PYTHON} -u job.py --seed 7 --distribute true --device_num 2 "
            "--device_target CPU"
        )
    assert len(shown) == 3
    newer = launched("ascend", "2", "msrun", "job.py", "--dry_run", CORES="8", BIND_CORES="false").stdout
    assert "MS_ROLE=MS_WORKER MS_NODE_ID=1" in newer and "--device_target Ascend --device_id 1" in newer
    assert "taskset" not in newer and "OMP_NUM_THREADS" not in newer


def test_a_busy_port_is_skipped(launched):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left
        try:
            taken.bind(("127.0.0.1", 8118))
            taken.listen()
        except OSError:
            pass  # in use by another process: busy all the same
        shown = launched("cpu", "2", "job.py", "--dry_run").stdout
    assert "MS_SCHED_PORT=81" in shown and "MS_SCHED_PORT=8118" not in shown


def test_a_port_in_use_is_refused_before_the_start(launched):
    """At fc5fcf9 the run failed after 25 s with a stack of MindSpore's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = launched("cpu", "2", "job.py", MASTER_PORT=port)
    assert refused.returncode == 2 and not list(launched.folder.glob("LOG*"))
    assert refused.stderr.startswith(
        f"error: MASTER_PORT {port} cannot be used (Address already in use); give"
    )


def test_launchers_at_once_take_different_ports(launched):
    """A port is reserved from the choice on; its scheduler, as MindSpore's, binds it with SO_REUSEADDR."""
    job = launched.folder / "job.py"
    job.write_text(
        "import os, socket, time\n"
        "scheduler = socket.socket()\n"
        "scheduler.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "if os.environ['RANK_ID'] == '0':\n"
        "    scheduler.bind(('127.0.0.1', int(os.environ['MS_SCHED_PORT'])))\n"
        "    scheduler.listen()\n"
        "time.sleep(3)\n"
        "print('port', os.environ['MS_SCHED_PORT'], flush=True)\n"
    )
    python = launched.folder / "python"  # the scheduler of MindSpore is not started
    python.write_text(f'#!/bin/sh\n[ "$MS_ROLE" = MS_SCHED ] && exit\nexec {PYTHON} "$@"\n')
    python.chmod(0o755)
    started = []
    for number in range(3):
        (launched.folder / str(number)).mkdir()
        started.append(
            subprocess.Popen(
                ["bash", LAUNCH, "cpu", "1", job],
                cwd=launched.folder / str(number),
                env={**os.environ, "PYTHON": str(python)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    ports = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ports
    assert len(set(ports)) == 3 and all(port.startswith("port 8") for port in ports)


def test_each_rank_has_its_own_log_and_the_first_is_shown(launched):
    done = launched("ascend", "2", "two.json", "job.py", "--name", "two words", BIND_CORES="false")
    assert done.returncode == 0, done.stderr
    words = "--name two words --distribute true --device_num 2 --device_target Ascend --device_id"
    for rank in range(2):
        log = (launched.folder / f"LOG{rank}/log.txt").read_text()
        assert log == f"{rank} {rank} 2 None {words} {rank}\n"
    assert done.stdout == (launched.folder / "LOG0/log.txt").read_text()


def test_a_failing_rank_stops_all(launched):
    started_at = time.monotonic()
    done = launched("ascend", "2", "two.json", "job.py", FAIL_1="7", SECONDS_TO_RUN="50", BIND_CORES="false")
    assert done.returncode == 7 and time.monotonic() - started_at < 30
    assert "LOG1 ended with exit code 7, and the run with it; the last lines of LOG1/log.txt:" in done.stderr
    assert done.stderr.rstrip().endswith("something broke")


def test_a_user_error_of_the_ranks_is_shown_once(launched):
    (launched.folder / "job.py").write_text(
        "import sys; print('settings'); sys.exit('error: no such records')"
    )
    python = launched.folder / "python"
    python.write_text(f'#!/bin/sh\n[ "$MS_ROLE" = MS_SCHED ] && exec sleep 50\n{PYTHON} "$@" || exit 2\n')
    python.chmod(0o755)
    done = launched("cpu", "2", "job.py", PYTHON=str(python))
    assert done.returncode == 2 and (done.stdout + done.stderr).count("error: no such records") == 1
    assert "ended with exit code" not in done.stderr


@pytest.mark.parametrize("flags, complaint", [
    (["--train_data_dir", "missing"], "error: record file missing does not exist"),
    (["--load_pretrained_path", "missing"], "error: missing does not exist; give a model folder or a weight"),
])  # fmt: skip
def test_missing_inputs_stop_the_ranks_before_they_join(tmp_path, flags, complaint):
    """At fc5fcf9 the ranks joined first, and took 41 s to end; here a rank has nobody to join."""
    command = [PYTHON, ROOT / "run_finetune.py", "--task_name", "SST-2", "--distribute", *flags]
    environment = {**os.environ, "MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": "2", "MS_SCHED_PORT": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.startswith(complaint) and not list(tmp_path.iterdir())


def test_ctrl_c_reaches_every_rank(launched):
    process = subprocess.Popen(
        ["bash", LAUNCH, "ascend", "2", "two.json", "job.py"],
        cwd=launched.folder,
        start_new_session=True,
        env={**os.environ, "PYTHON": PYTHON, "SECONDS_TO_RUN": "50", "BIND_CORES": "false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for_text(launched.folder / "LOG1/log.txt", "Ascend")
    wait_for_text(launched.folder / "LOG0/log.txt", "Ascend")
    os.killpg(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=20)
    assert process.returncode == 130, printed
    for rank in range(2):
        assert (launched.folder / f"LOG{rank}/log.txt").read_text().endswith("state saved\n")


def wait_for_text(path, text, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.05)
    found = path.read_text() if path.exists() else "absent"
    raise AssertionError(f"{text!r} did not appear in {path}: {found}")


@pytest.mark.parametrize("script, arguments, complaint", [
    ("run_distributed_gd_ascend.sh", ["8", "1"], "HCCL is missing; usage: bash "),
    ("run_distributed_gd_gpu.sh", ["--dry_run", "8"], "EPOCH_SIZE is missing"),
    ("run_distributed_gd_ascend.sh", ["2", "1", "two.json"], "load_teacher_ckpt_path is unset: edit line "),
    ("launch.sh", ["ascend", "8", "two.json", "job.py"], "two.json lists 2 devices, but the run is for 8"),
    ("launch.sh", ["ascend", "two", "two.json", "job.py"], "expected a number of processes from 1 to 9999"),
    ("launch.sh", ["cpu", "1" + 30 * "0", "job.py"], "expected a number of processes from 1 to 9999 a"),
    ("launch.sh", ["ascend", "2", "absent.json", "job.py"], "no such rank table: absent.json"),
    ("launch.sh", ["cpu", "2", "job.py", "MASTER_PORT=text"], "MASTER_PORT 'text' is not a port from 1 to"),
    ("launch.sh", ["cpu", "2", "job.py", "MASTER_PORT=70000"], "MASTER_PORT '70000' is not a port from 1"),
    ("launch.sh", ["cpu", "2", "job.py", "PYTHON=/absent/python"], "no such Python: /absent/python; set"),
    ("launch.sh", ["gpu", "2", "job.py", "PATH={tools}"], "mpirun is not installed; install Open MPI (Deb"),
])  # fmt: skip
def test_a_usage_error_starts_nothing(launched, script, arguments, complaint):
    if arguments[-1].partition("=")[0] in ("MASTER_PORT", "PYTHON", "PATH"):
        name, _, value = arguments.pop().partition("=")
    else:
        name, value = "LOG", "log.txt"
    tools = launched.folder / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "basename"):
        (tools / tool).symlink_to(shutil.which(tool))
    refused = launched(*arguments, script=script, **{name: value.format(tools=tools)})
    assert refused.returncode == 2 and complaint in refused.stderr and refused.stderr.count("\n") == 1
    assert not list(launched.folder.glob("LOG*"))


def write_task(folder):
    vocabulary = tiny.write_vocabulary(folder / "vocabulary")
    tiny.write_model(folder / "model", vocabulary)
    texts = {"train": tiny.single_rows(75, 1), "dev": tiny.single_rows(20, 2)}
    tiny.prepare_task(folder / "task", vocabulary, "SST-2", texts)


def start(folder, way, output, *flags):
    records = str(folder / "task/records")
    command = [
        "bash",
        LAUNCH,
        way,
        "2",
        "run_finetune.py",
        "--task_name",
        "SST-2",
        "--output_dir",
        folder / output,
    ]
    command += ["--load_pretrained_path", folder / "model", "--train_data_dir", records, "--batch_size", "8"]
    command += ["--eval_data_dir", records, "--learning_rate", "1e-3", "--length_buckets", "off", *flags]
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHON": PYTHON, "DEVICE_TARGET": "CPU", "MASTER_PORT": tiny.free_port()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["cpu", "gpu"])
def test_two_real_ranks_stop_together_and_resume(tmp_path, way):
    if way == "gpu" and not shutil.which("mpirun"):
        pytest.skip("mpirun is not installed")
    write_task(tmp_path)
    flags = ["--epoch_size", "40", "--logging_step", "10"]
    reference = start(tmp_path, way, "reference", *flags)
    printed, _ = reference.communicate(timeout=300)
    assert reference.returncode == 0, printed
    shutil.rmtree(tmp_path / "LOG0")
    interrupted = start(tmp_path, way, "interrupted", *flags)
    wait_for_text(tmp_path / "LOG0/log.txt", "step: 30,", 300)
    os.kill(interrupted.pid, signal.SIGINT)
    printed, _ = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 130 and "state saved" in printed, printed
    resumed = start(tmp_path, way, "interrupted", *flags, "--resume")
    printed, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0 and "resumed from" in printed, printed
    one, two = (
        load_file(tmp_path / name / "last/model.safetensors") for name in ("reference", "interrupted")
    )
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
