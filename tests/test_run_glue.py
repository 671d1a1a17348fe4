"""scripts/run_glue.sh: order, skipping, resuming, failing; its table; slow: a full run."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from src.config.cli import parse
from src.errors import UserError
from src.stages.evaluation.glue_table import glue_table
from src.tasks import TASKS
from src.tools.glue_table import GlueTableConfig
from tests import glue, tiny
from tests.test_readme import PARSERS

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "run_glue.sh"
STAGES = ["prepare", "finetune", "task_distill", "export", "evaluate", "evaluate", "evaluate"]

# Fake interpreter: records its arguments, fills the output folder, fails on demand.
INTERPRETER = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>calls
while (($#)) && [[ $1 != --output_dir ]]; do words+=" $1"; shift; done
if [[ -n ${FAIL:-} && $words == *"$FAIL"* ]]; then
    echo "this stage fails"
    exit "$CODE"
fi
mkdir -p "$2/checkpoints"
: >"$2/checkpoints/step.safetensors"
"""


@pytest.fixture
def glue_script(tmp_path):
    """A function that runs the script in an empty folder with a fake interpreter."""
    interpreter = tmp_path / "interpreter"
    interpreter.write_text(INTERPRETER)
    interpreter.chmod(0o755)
    for name in ("models", "data"):
        (tmp_path / name).mkdir()

    def run(*arguments, **environment):
        (tmp_path / "calls").write_text("")
        done = subprocess.run(
            ["bash", SCRIPT, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHON": str(interpreter), **environment},
        )
        done.calls = (tmp_path / "calls").read_text().splitlines()
        return done

    run.folder = tmp_path
    return run


def kind(call):
    """The stage of a call: the name of its module or script."""
    return re.search(r"(?:src\.tools\.|run_)(\w+)", call)[1]


GIVEN = ("--pretrained", "models")


def test_each_stage_of_each_task_and_one_table(glue_script):
    done = glue_script(*GIVEN, "--tasks", "sst2,RTE", "--finetune", "--seed 3 --batch_size 8")
    assert done.returncode == 0, done.stderr
    assert list(map(kind, done.calls)) == [*STAGES, *STAGES, "glue_table"]
    assert "--task_name SST-2 --data_dir data/SST-2 --vocab_file models" in done.calls[0]
    assert "--seed 3 --batch_size 8 --output_dir output/glue/SST-2/teacher" in done.calls[1]
    assert done.calls[6].endswith("--output_dir output/glue/SST-2/evaluation/int8")
    assert "--task_name RTE" in done.calls[7]
    assert done.calls[-1] == "-m src.tools.glue_table --output_dir output/glue"
    assert "== SST-2, distill" in (glue_script.folder / "output/glue/SST-2/log.txt").read_text()


def test_completed_stages_are_skipped_and_logged(glue_script):
    assert glue_script(*GIVEN, "--tasks", "RTE").returncode == 0
    again = glue_script(*GIVEN, "--tasks", "RTE")
    assert list(map(kind, again.calls)) == ["glue_table"]
    assert len(re.findall(r"^== RTE, \w+: already complete, skipped$", again.stdout, re.M)) == 7


def test_a_failing_task_does_not_stop_the_others(glue_script):
    failed = glue_script(*GIVEN, "--tasks", "RTE,WNLI", FAIL="run_task_distill.py --task_name RTE", CODE="2")
    assert failed.returncode == 1 and "failed: RTE; see log.txt" in failed.stderr
    assert list(map(kind, failed.calls)) == [*STAGES[:3], *STAGES, "glue_table"]
    assert "this stage fails" in (glue_script.folder / "output/glue/RTE/log.txt").read_text()
    fixed = glue_script(*GIVEN, "--tasks", "RTE,WNLI")
    assert fixed.returncode == 0 and list(map(kind, fixed.calls)) == [*STAGES[2:], "glue_table"]


def test_an_interrupted_stage_stops_the_run_and_is_resumed(glue_script):
    student = glue_script.folder / "output/glue/RTE/student/checkpoints"
    stopped = glue_script(*GIVEN, "--tasks", "RTE,WNLI", FAIL="run_task_distill", CODE="130")
    assert stopped.returncode == 130 and list(map(kind, stopped.calls)) == STAGES[:3]
    student.mkdir(parents=True)
    (student / "step.safetensors").touch()
    resumed = glue_script(*GIVEN, "--tasks", "RTE", "--resume")
    assert resumed.calls[0].endswith("--output_dir output/glue/RTE/student --resume")


def test_stages_after_a_new_teacher_run_again(glue_script):
    glue_script(*GIVEN, "--tasks", "RTE")
    subprocess.run(["rm", "-r", glue_script.folder / "output/glue/RTE/teacher"], check=True)
    renewed = glue_script(*GIVEN, "--tasks", "RTE")
    assert list(map(kind, renewed.calls)) == [*STAGES[1:], "glue_table"]
    assert renewed.calls[0].endswith("/teacher")
    assert renewed.calls[1].endswith("/student --overwrite_output_dir")


def test_results_of_the_old_teacher_are_not_reused_after_a_failure(glue_script):
    glue_script(*GIVEN, "--tasks", "RTE")
    subprocess.run(["rm", "-r", glue_script.folder / "output/glue/RTE/teacher"], check=True)
    assert glue_script(*GIVEN, "--tasks", "RTE", FAIL="run_finetune", CODE="1").returncode == 1
    fixed = glue_script(*GIVEN, "--tasks", "RTE")
    assert list(map(kind, fixed.calls)) == [*STAGES[1:], "glue_table"]


def test_a_foreign_folder_is_not_deleted(glue_script):
    own = glue_script.folder / "output/glue/RTE/teacher/best/config.json"
    own.parent.mkdir(parents=True)
    own.write_text("kept")
    refused = glue_script(*GIVEN, "--tasks", "RTE")
    assert refused.returncode == 1 and list(map(kind, refused.calls)) == ["prepare"]
    assert "error: RTE, finetune would delete output/glue/RTE/teacher, which this script" in refused.stderr


def test_changed_flags_of_a_completed_stage_are_refused(glue_script):
    glue_script(*GIVEN, "--tasks", "RTE")
    refused = glue_script(*GIVEN, "--tasks", "RTE", "--finetune", "--seed 3")
    assert refused.returncode == 1 and not refused.calls
    assert "error: RTE, finetune is complete with other flags" in refused.stderr
    (glue_script.folder / "data/RTE").mkdir()
    (glue_script.folder / "data/RTE/test.tsv").touch()
    other = glue_script(*GIVEN, "--tasks", "RTE", "--submission", "student")
    assert list(map(kind, other.calls)) == ["evaluate", "evaluate", "glue_table"]
    assert "--write_predictions output/glue/submission" in other.calls[0]


def test_quantization_aware_training_on_demand(glue_script):
    done = glue_script(*GIVEN, "--tasks", "RTE", "--int8", "q8bert", "--q8bert", "--epoch_num 1")
    assert list(map(kind, done.calls)) == [*STAGES[:3], "q8bert_train", *STAGES[3:], "glue_table"]
    assert "--epoch_num 1" in done.calls[3] and "--model_dir output/glue/RTE/q8bert/best" in done.calls[4]


@pytest.mark.parametrize("way", ["export", "q8bert"])
def test_dry_run_prints_commands_that_parse(glue_script, way):
    shown = glue_script("--dry_run", "--int8", way, "--submission", "int8")
    assert shown.returncode == 0 and not shown.calls
    assert not (glue_script.folder / "output").exists()
    lines = shown.stdout.splitlines()
    assert len(lines) == 9 * (7 + (way == "q8bert")) + 1
    for line in lines:
        words = shlex.split(line)
        command, arguments = (f"-m {words[2]}" if words[1] == "-m" else Path(words[2]).name), words[3:]
        PARSERS[f"python {command}"][1](arguments)


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "--pretrained is required"),
        (["--pretrained", "absent"], "--pretrained absent is not a folder"),
        ([*GIVEN, "--data_dir", "absent"], "--data_dir absent is not a folder"),
        ([*GIVEN, "--general_student", "absent"], "--general_student absent is not a folder"),
        (["--tasks", "SST-3"], "'SST-3' is not one of CoLA, SST-2"),
        (["--tasks", ","], "--tasks names no task"),
        (["--tasks"], "--tasks needs a value"),
        (["--distill"], "--distill needs a value: the flags of that stage"),
        (["--int8", "int4"], "--int8 int4 is neither export nor q8bert"),
        (["--submission", "best"], "--submission best is not one of teacher, student, int8"),
        ([*GIVEN, "--tasks", "RTE", "--submission", "int8"], "data/RTE has none"),
        (["--task", "RTE"], "unknown flag --task"),
    ],
)
def test_a_usage_error_is_one_sentence(glue_script, arguments, complaint):
    refused = glue_script(*arguments)
    assert refused.returncode == 2 and complaint in refused.stderr and refused.stderr.count("\n") == 1
    assert not refused.calls and not (glue_script.folder / "output").exists()


# The table


def results(folder, task, **models):
    for model, metrics in models.items():
        place = folder / task / "evaluation" / model
        place.mkdir(parents=True)
        (place / "eval_results.json").write_text(json.dumps(metrics))


def test_the_table(tmp_path, capsys):
    results(
        tmp_path,
        "RTE",
        teacher={"eval_accuracy": 0.8, "eval_samples": 5},
        student={"eval_accuracy": 0.6, "eval_samples": 5},
        int8={"eval_accuracy": 0.4, "eval_samples": 5},
    )
    results(tmp_path, "MRPC", teacher={"eval_accuracy": 0.5, "eval_f1": 0.25, "eval_acc_and_f1": 0.375})
    mnli = {"eval_accuracy": 0.5, "eval_samples": 9, "eval_accuracy_mm": 0.25, "eval_samples_mm": 7}
    results(tmp_path, "MNLI", teacher=mnli, student={name: value / 2 for name, value in mnli.items()})
    rows = glue_table(parse(GlueTableConfig, ["--output_dir", str(tmp_path)]).config)
    assert [(row["task"], row["metric"]) for row in rows] == [
        ("MRPC", "accuracy"),
        ("MRPC", "f1"),
        ("MNLI-m", "accuracy"),
        ("MNLI-mm", "accuracy"),
        ("RTE", "accuracy"),
    ]
    assert rows[4] == {
        "task": "RTE",
        "metric": "accuracy",
        "teacher": 0.8,
        "student": 0.6,
        "int8": 0.4,
        "student_kept": pytest.approx(0.75),
        "int8_kept": pytest.approx(0.5),
    }
    assert [row["student_kept"] for row in rows[:4]] == [None, None, 0.5, 0.5]
    table = (tmp_path / "table.md").read_text()
    assert table.strip() == capsys.readouterr().out.strip()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert cells[0] == ["task", "metric", "teacher", "student", "int8", "student kept", "int8 kept"]
    assert cells[-1] == ["RTE", "accuracy", "0.8000", "0.6000", "0.4000", "75.0%", "50.0%"]
    assert cells[2] == ["MRPC", "accuracy", "0.5000", "-", "-", "-", "-"]
    assert json.loads((tmp_path / "table.json").read_text()) == rows


@pytest.mark.parametrize("teacher", [0.0, -0.05])
def test_no_retention_for_a_teacher_at_or_below_zero(tmp_path, teacher):
    results(
        tmp_path,
        "CoLA",
        teacher={"eval_matthews_correlation": teacher},
        student={"eval_matthews_correlation": 0.1},
    )
    (row,) = glue_table(parse(GlueTableConfig, ["--output_dir", str(tmp_path)]).config)
    assert row["student"] == 0.1 and row["student_kept"] is None


def test_no_results(tmp_path):
    with pytest.raises(UserError, match="contains no evaluation"):
        glue_table(parse(GlueTableConfig, ["--output_dir", str(tmp_path)]).config)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_tasks_end_to_end(tmp_path, vocabulary):
    for name in ("MNLI", "STS-B"):
        glue.write_task(tmp_path / "data" / name, TASKS[name])
    config = tiny.TINY.replace(labels=(), num_hidden_layers=1)
    tiny.write_model(tmp_path / "model", vocabulary, config, tiny.random_arrays(config, spread=0.1))
    small = "--length_buckets off --batch_size 8"
    student = "--num_hidden_layers 1 --hidden_size 24 --num_attention_heads 4 --intermediate_size 40"
    command = [
        "bash",
        SCRIPT,
        "--tasks",
        "MNLI,STS-B",
        "--data_dir",
        "data",
        "--pretrained",
        "model",
        "--prepare",
        "--max_seq_length 24",
        "--finetune",
        f"{small} --epoch_size 1",
        "--distill",
        f"{small} --td_phase1_epoch_size 1 --td_phase2_epoch_size 1 {student}",
        "--submission",
        "int8",
    ]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = json.loads((tmp_path / "output/glue/table.json").read_text())
    assert [row["task"] for row in rows] == ["STS-B", "STS-B", "MNLI-m", "MNLI-mm"]
    assert all(row[model] is not None for row in rows for model in ("teacher", "student", "int8"))
    submitted = {path.name for path in (tmp_path / "output/glue/submission").iterdir()}
    assert submitted == {"MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv", "STS-B.tsv"}
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert again.returncode == 0 and again.stdout.count("already complete, skipped") == 14
