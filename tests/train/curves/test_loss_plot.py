"""Loss curves from a metrics log."""

import json

import pytest

from src.errors import UserError
from src.train.curves.loss_plot import panels_of, parts_of, plot_losses, read_log


def entry(step, title="phase 1", **parts):
    return {"phase": 1, "title": title, "step": step, "loss": 1.0 / step, "parts": parts}


def test_a_log_is_read_and_its_cut_off_end_passed_over(tmp_path):
    log = tmp_path / "losses.jsonl"
    log.write_text(json.dumps(entry(1)) + "\n" + json.dumps({"eval_accuracy": 1}) + "\n" + '{"stage": "task')
    assert [e["step"] for e in read_log(log)] == [1]


def test_a_broken_line_is_named(tmp_path):
    log = tmp_path / "losses.jsonl"
    log.write_text("{\n" + json.dumps(entry(1)) + "\n")
    with pytest.raises(UserError, match="line 1"):
        read_log(log)


def test_a_panel_for_each_phase():
    logs = {"student": [entry(1), entry(1, "phase 2"), entry(2)], "teacher": [entry(1, "finetune")]}
    panels = panels_of(logs)
    assert list(panels) == ["student, phase 1", "student, phase 2", "teacher, finetune"]
    assert [e["step"] for e in panels["student, phase 1"]] == [1, 2]


def test_a_single_part_is_not_drawn_twice():
    assert parts_of([entry(1, label=1.0)]) == []
    assert parts_of([entry(1, hidden=1.0), entry(2, hidden=1.0, attention=2.0)]) == ["hidden", "attention"]


def test_the_plot_is_a_png(tmp_path):
    logs = {"student": [entry(s, hidden=1.0, attention=0.5) for s in (1, 2, 3)]}
    plot_losses(logs, tmp_path / "losses.png")
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")
    plot_losses({}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
