"""scripts/launch.sh and the scripts that call it: exit codes, logs, interrupts, unset defaults."""

import dataclasses
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.test_readme import PARSERS

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
ENVIRONMENT = {**os.environ, "PYTHON": sys.executable}

JOB = """
import signal, sys, time
def save(number, frame):
    time.sleep(0.2)
    print("saved", flush=True)
    sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, save)
print("arguments", sys.argv[1:], flush=True)
time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def launch(tmp_path):
    """A function that runs a launcher in an empty folder with job.py in it."""
    (tmp_path / "job.py").write_text(JOB)

    def run(*arguments, script="launch.sh", **environment):
        return subprocess.run(
            ["bash", SCRIPTS / script, *arguments],
            cwd=tmp_path,
            capture_output=True,
            env={**ENVIRONMENT, **environment},
            text=True,
            timeout=60,
        )

    run.folder = tmp_path
    return run


def wait_for(path):
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return path.read_text()


def test_exit_code_passes_through_tee(launch):
    done = launch("standalone", "job.py", "0", "7", "two words")
    assert done.returncode == 7
    assert done.stdout == (launch.folder / "log.txt").read_text() == "arguments ['0', '7', 'two words']\n"


def test_background_returns_immediately_and_writes_the_exit_code(launch):
    started_at = time.monotonic()
    started = launch("standalone", "--background", "job.py", "3", "7")
    assert started.returncode == 0 and time.monotonic() - started_at < 2.5
    assert "log.txt" in started.stdout and re.search(r"pid \d+", started.stdout)
    assert wait_for(launch.folder / "log.txt.exit_code") == "7\n"


def test_background_job_receives_an_interrupt(launch):
    started = launch("standalone", "job.py", "30", "0", "--background")
    while not (launch.folder / "log.txt").read_text():
        time.sleep(0.05)
    os.kill(int(re.search(r"pid (\d+)", started.stdout).group(1)), signal.SIGINT)
    assert wait_for(launch.folder / "log.txt.exit_code") == "130\n"
    assert "saved" in (launch.folder / "log.txt").read_text()


@pytest.mark.parametrize("to_all", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_foreground_job_saves_on_a_signal(launch, number, to_all):
    """To the terminal's processes, or to the launcher alone."""
    process = subprocess.Popen(
        ["bash", SCRIPTS / "launch.sh", "standalone", "job.py", "30", "0"],
        cwd=launch.folder,
        env=ENVIRONMENT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    (os.killpg if to_all else os.kill)(process.pid, number)
    printed, _ = process.communicate(timeout=20)
    assert process.returncode == 128 + number and printed.endswith("saved\n")


def test_dry_run_starts_nothing_and_quotes(launch):
    shown = launch("standalone", "job.py", "--dry_run", "--name", "two words", "--none", "")
    assert shown.returncode == 0 and shown.stdout.strip().endswith("job.py --name two\\ words --none ''")
    assert not (launch.folder / "log.txt").exists()


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["standalone", "absent.py"], "no such script: absent.py"),
        (["standalone"], "expected a SCRIPT.py"),
        (["orbital", "job.py"], "unknown way to launch 'orbital'; there are: standalone, ascend, gpu, cpu"),
        (["cpu", "two", "job.py"], "expected a number of processes from 1 to 9999 after cpu, found 'two'"),
        (["cpu", "2"], "expected a SCRIPT.py after cpu, found ''"),
        (["ascend", "8", "job.py"], "expected HCCL.json (or msrun) after 8, found 'job.py'"),
        (["ascend", "8", "hccl.json", "job.py"], "no such rank table: hccl.json"),
    ],
)
def test_a_usage_error_is_one_sentence(launch, arguments, complaint):
    refused = launch(*arguments)
    assert refused.returncode == 2 and complaint in refused.stderr


def test_task_distillation_names_the_line_to_edit(launch):
    script = "run_standalone_td.sh"
    refused = launch(script=script)
    number = re.search(r"task_name is unset: edit line (\d+) of \S+run_standalone_td.sh", refused.stderr)[1]
    assert refused.returncode == 2
    assert (SCRIPTS / script).read_text().splitlines()[int(number) - 1].startswith("task_name=")

    shown = launch("--dry_run", "--task_name", "CoLA", "--seed", "7", script=script).stdout
    assert "--load_teacher_ckpt_path <unset>" in shown and shown.strip().endswith("--task_name CoLA --seed 7")
    assert shown.count("--task_name") == 1 and "--td_phase1_epoch_size 10" in shown


def test_a_single_phase_leaves_epochs_and_rates_to_the_recipe(launch):
    for script in ("run_td_phase1.sh", "run_td_phase2.sh"):
        shown = launch("--dry_run", script=script).stdout
        assert "run_task_distill.py" in shown and "learning_rate" not in shown
        assert re.findall(r"--\S+epoch_size \d+", shown) == ["--td_phase2_epoch_size 0"] * (
            "phase1" in script
        )


@pytest.mark.parametrize("word", ["false", "False", "0"])
def test_evaluation_only_needs_no_teacher(launch, word):
    shown = launch("--dry_run", "--do_train", word, script="run_standalone_td.sh").stdout
    assert "--load_teacher_ckpt_path" not in shown and "--eval_data_dir <unset>" in shown


# Launchers of tools


TOOLS = {"run_prepare.sh": "prepare", "run_prepare_corpus.sh": "prepare_corpus", "run_augment.sh": "augment"}


@pytest.mark.parametrize("script", TOOLS)
def test_defaults_of_a_tool_launcher_are_flags(launch, script):
    shown = launch("--dry_run", script=script, PYTHONPATH="")
    assert shown.returncode == 0, shown.stderr
    before, _, arguments = shown.stdout.strip().partition(f" -u -m src.tools.{TOOLS[script]} ")
    assert before == f"env PYTHONPATH={SCRIPTS.parent} {sys.executable}"
    resolve = PARSERS[f"python -m src.tools.{TOOLS[script]}"][1]
    config = resolve(shlex.split(arguments.replace("<unset>", "RTE")))
    fields = dataclasses.asdict(getattr(config, "config", config))
    top = dict(re.findall(r"^([a-z]\w*)=(\S+)", (SCRIPTS / script).read_text(), re.M))
    written = {name: shlex.split(value)[0].replace("<unset>", "RTE") for name, value in top.items()}
    assert {name: fields[name] for name in top} == {
        name: type(fields[name])(value or fields[name]) for name, value in written.items()
    }
    refused = launch(script=script)
    line = int(re.search(rf"is unset: edit line (\d+) of {SCRIPTS / script}", refused.stderr)[1])
    assert refused.returncode == 2 and "<unset>" in (SCRIPTS / script).read_text().splitlines()[line - 1]


@pytest.mark.parametrize(
    "script, flags",
    [
        ("run_prepare.sh", "--task_file own.yaml"),
        ("run_prepare.sh", "--output_mode token_classification"),
        ("run_prepare.sh", "--unlabelled_file logs.txt"),
        ("run_augment.sh", "--task_file own.yaml"),
    ],
)
def test_a_custom_task_needs_no_name(launch, script, flags):
    shown = launch("--dry_run", *flags.split(), script=script).stdout
    assert shown.strip().endswith(flags)
    # Nor do empty defaults override the values of a task file.
    assert not re.search("--(task_name|data_dir|max_seq_length|train_file)|''", shown)


def test_a_flag_inside_a_value_is_not_a_flag(launch):
    arguments = ("--dry_run", "--vocab_file", "my --task_file v", "--output_dir", "my --on_bad_row x")
    shown = launch(*arguments, script="run_prepare.sh").stdout
    assert "--task_name <unset>" in shown and "--on_bad_row error" in shown


def test_relative_paths_are_those_of_the_callers_folder(launch):
    (launch.folder / "python").symlink_to(sys.executable)
    shown = launch("--work_dir", "checks", "--dry_run", script="check_gpu.sh", PYTHON="./python").stdout
    command = shlex.split(shown.splitlines()[0])
    assert command[0] == f"{launch.folder}/./python"
    assert command[command.index("--output_dir") + 1] == f"{launch.folder}/checks/records"


def test_the_log_folder_is_created(launch):
    done = launch("standalone", "job.py", "0", "0", LOG="logs/today/log.txt")
    assert done.returncode == 0 and (launch.folder / "logs/today/log.txt").read_text() == done.stdout


def test_the_resume_command_quotes_the_path_of_the_launcher(launch):
    project = launch.folder / "my project"
    shutil.copytree(SCRIPTS, project / "scripts")
    (launch.folder / "job.py").write_text("import os; print(os.environ['RESUME_COMMAND'])")
    command = ["bash", project / "scripts" / "launch.sh", "standalone", "job.py", "a b"]
    done = subprocess.run(command, cwd=launch.folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert shlex.split(done.stdout) == [str(word) for word in command], done.stderr


def test_the_resume_command_has_the_variables_of_the_machines(launch):
    """As `env`, since a quoted assignment is the name of a command."""
    (launch.folder / "job.py").write_text("import os; print(os.environ['RESUME_COMMAND'])")
    command = ["bash", SCRIPTS / "launch.sh", "standalone", "job.py"]
    environment = {**ENVIRONMENT, "NODE_ADDR": "a b"}
    done = subprocess.run(command, cwd=launch.folder, env=environment, capture_output=True, text=True)
    assert shlex.split(done.stdout)[:2] == ["env", "NODE_ADDR=a b"], done.stderr


def test_a_tool_runs_in_the_current_folder(launch, vocabulary):
    for name in ("train", "dev"):
        (launch.folder / f"{name}.tsv").write_text("sentence\tlabel\nbaba deki\t1\nbade\t0\n")
    flags = ["--task_name", "SST-2", "--data_dir", ".", "--vocab_file", str(vocabulary)]
    done = launch(*flags, "--output_dir", "records", script="run_prepare.sh")
    assert done.returncode == 0 and "2" in done.stdout, done.stderr
    assert done.stdout == (launch.folder / "log.txt").read_text()
    assert (launch.folder / "records" / "manifest.json").is_file()
    refused = launch(*flags, "--output_dir", "records", script="run_prepare.sh")
    assert refused.returncode == 2 and "output_dir records is not empty" in refused.stdout
    missing = launch("standalone", "-m", "src.tools.prepair")
    assert missing.returncode == 2 and "no such module: src.tools.prepair" in missing.stderr
