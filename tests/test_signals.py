"""Signals while a command starts and runs: one line, and the exit code 128 + N."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import tiny

ROOT = Path(__file__).resolve().parents[1]
# Handles signals as the entry points do.
BEGIN = "from src.signals import exit_on_signals, interruptible; exit_on_signals(); import os, signal, time; "
NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def run(code):
    command = [sys.executable, "-c", BEGIN + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def handles_sigterm(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> signal.SIGTERM - 1 & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the handled signals from /proc")
@pytest.mark.parametrize("seconds", [0, 0.3, 0.9])
@pytest.mark.parametrize("number", NUMBERS)
def test_while_mindspore_is_imported(sst2, vocabulary, tmp_path, number, seconds):
    model = tiny.write_model(tmp_path / "model", vocabulary)
    output = tmp_path / "out"
    flags = {"load_pretrained_path": model, "train_data_dir": sst2, "eval_data_dir": sst2, "epoch_size": 500}
    command = [sys.executable, "run_finetune.py", *tiny.flags(task_name="SST-2", output_dir=output, **flags)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not handles_sigterm(process):
        time.sleep(0.001)
    time.sleep(seconds)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert errors == "interrupted\n" or "state saved; resume with" in errors
    assert not output.exists() or (output / "run_config.json").exists()


def test_a_temporary_file_is_deleted(tmp_path):
    code = "from src.errors import run_main; from src.files import atomic_path\n"
    code += (
        f"def main():\n  with atomic_path({str(tmp_path / 'file')!r}): os.kill(os.getpid(), signal.SIGTERM)"
    )
    done = run(f"{code}\nrun_main(main)")
    assert (done.returncode, done.stderr, list(tmp_path.iterdir())) == (143, "interrupted\n", [])


def test_an_import_in_a_section_is_finished_first(tmp_path):
    """At 837915a a MindSpore whose import was broken off aborted the interpreter at its end."""
    lines = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(0.1); print('imported')"
    (tmp_path / "slow.py").write_text(lines)
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
from src.errors import run_main
def main():
    with interruptible():
        import slow
        time.sleep(10)
run_main(main)"""
    done = run(code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "imported\n", "interrupted\n")


def test_a_signal_that_waits_for_an_import_does_not_kill_a_finished_program(tmp_path):
    """The timer would end it with SIGALRM while Python shuts down."""
    (tmp_path / "quick.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
from src import signals
from src.errors import run_main
signals.RETRY = 0.2
def main():
    with interruptible():
        import quick
run_main(main)
import atexit; atexit.register(time.sleep, 0.5)"""
    done = run(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_exception_made_of_the_interruption():
    """MindSpore turns the exceptions in its callbacks into a RuntimeError."""
    code = """
from src.errors import run_main
def main():
    with interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("compilation failed")
run_main(main)"""
    done = run(code)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_second_signal_does_not_wait_for_the_cleanup():
    code = """
with interruptible():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        print("cleaned")"""
    done = run(code)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "interrupted\n")


def test_an_ignored_signal_stays_ignored():
    code = (
        "signal.signal(signal.SIGHUP, signal.SIG_IGN); exit_on_signals(); os.kill(os.getpid(), signal.SIGHUP)"
    )
    assert run(code).returncode == 0
