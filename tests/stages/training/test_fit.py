"""Which checkpoints a phase continues from."""

from types import SimpleNamespace

import pytest

from src.errors import UserError
from src.stages.training import fit


@pytest.mark.parametrize(
    "saved, lengths",
    [
        ({"lengths": [8, 16, 24]}, [8, 12, 24]),
        ({}, [24]),  # earlier versions saved none
    ],
)
def test_batches_of_other_lengths_are_refused(saved, lengths):
    run = SimpleNamespace(checkpoint=({"phase": 1, "step": 3, "rows": "ab", **saved}, "phase1_step_3"))
    with pytest.raises(UserError, match="^phase1_step_3 is from a run with batches of other lengths"):
        fit._resume(run, 1, None, "ab", lengths)


def test_batches_of_the_same_lengths_are_resumed(monkeypatch):
    saved = {"phase": 1, "step": 3, "rows": "ab", "lengths": [8, 24]}
    run = SimpleNamespace(checkpoint=(saved, "phase1_step_3"))
    restored = []
    monkeypatch.setattr(fit, "restore", lambda step, path: restored.append(path))
    assert fit._resume(run, 1, None, "ab", [8, 24]) == 3 and restored == ["phase1_step_3"]
