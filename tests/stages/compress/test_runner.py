"""Steps of a compression run that fail or are interrupted."""

import contextlib
import time
from pathlib import Path

import pytest

from src.errors import UserError
from src.stages.compress.steps.journal import Journal
from src.stages.compress.steps.progress import Progress
from src.stages.compress.steps.runner import Runner, Step
from src.stages.compress.steps.workspace import Workspace


def test_a_failed_training_keeps_its_checkpoints_and_is_not_repeated(tmp_path):
    """`--resume` continues it; a candidate with the same step has the same reason."""
    run_folder, calls = tmp_path / "half", []

    def train(argv):
        calls.append(argv)
        (run_folder / "checkpoints").mkdir(parents=True)
        raise UserError("the disk is full")

    runner = Runner(Workspace(tmp_path), Journal(tmp_path / "journal.json", {}, {}), {"train": train})
    step = Step("distill-half", "train", {"seed": 1}, run_folder / "best", run_folder=run_folder)
    assert [runner.run(step), runner.run(step)] == ["the disk is full"] * 2
    assert calls == [["--seed=1", "--overwrite_output_dir=true"]]
    assert (run_folder / "checkpoints").is_dir()


def test_the_seconds_of_an_interrupted_step_count(tmp_path, monkeypatch):
    clock, calls = iter([0.0, 50.0, 100.0, 110.0]), []
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(Progress, "step", lambda progress, name: contextlib.nullcontext())
    monkeypatch.setattr(Progress, "end", lambda progress, name, seconds: None)

    def export(argv):
        calls.append(argv)
        if len(calls) == 1:
            raise KeyboardInterrupt
        (tmp_path / "model.onnx").write_text("made")

    journal = Journal(tmp_path / "journal.json", {}, {})
    step = Step("export", "export", {}, tmp_path / "model.onnx")
    with pytest.raises(KeyboardInterrupt):
        Runner(Workspace(tmp_path), journal, {"export": export}).run(step)
    assert Runner(Workspace(tmp_path), journal, {"export": export}).run(step) is None
    assert len(calls) == 2 and journal.seconds_of("export") == 60.0


def test_what_only_an_interrupted_training_needs_is_deleted(tmp_path):
    run_folder = tmp_path / "half"

    def train(argv):
        for name in ("checkpoints", "last", "best"):
            (run_folder / name).mkdir(parents=True)
        (run_folder / "best" / "SHA256SUMS").write_text("sums")

    runner = Runner(Workspace(tmp_path), Journal(tmp_path / "journal.json", {}, {}), {"train": train})
    step = Step("distill-half", "train", {}, run_folder / "best", run_folder=run_folder)
    assert runner.run(step) is None and [path.name for path in Path(run_folder).iterdir()] == ["best"]


def test_a_step_that_two_candidates_share_is_listed_once(tmp_path):
    journal = Journal(tmp_path / "journal.json", {}, {})
    runner = Runner(Workspace(tmp_path), journal, {"prune": lambda argv: None})
    (tmp_path / "out").mkdir()
    step = Step("prune", "prune", {"output_dir": tmp_path / "out"}, tmp_path / "out")
    assert runner.run(step) is None and runner.run(step) is None
    assert list(runner.done) == ["prune"]
    assert runner.done["prune"].seconds == journal.seconds_of("prune")
