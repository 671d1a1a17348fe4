"""The time left, worked out by hand."""

import pytest

from src.stages.compress.steps.progress import Progress


def test_the_time_left_follows_the_steps_that_are_finished(capsys):
    progress = Progress()
    progress.plan({"export": 30.0, "prune": 10.0, "distill": 600.0, "other": 100.0})
    assert progress.seconds_left() == 740
    progress.end("export", 60.0)
    assert capsys.readouterr().out == "export: 60 s (planned 30 s)\n"
    assert progress.seconds_left() == pytest.approx(710 * (60 + 120) / (30 + 120))
    progress.drop("other")
    progress.end("prune", 10.0)
    progress.end("distill", 650.0)
    assert progress.seconds_left() == 0


def test_guesses_do_not_count(capsys):
    progress = Progress()
    progress.plan({"prepare": 5.0}, guessed=True)
    progress.end("prepare", 50.0)
    assert capsys.readouterr().out == "prepare: 50 s\n"
    progress.plan({"distill": 100.0})
    assert progress.seconds_left() == 100
