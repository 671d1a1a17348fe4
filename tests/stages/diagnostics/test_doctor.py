"""The doctor's report."""

import sys

from src.stages.diagnostics.doctor import doctor
from src.tools.doctor import DoctorConfig


def test_the_report_ends_with_a_training_step(capsys):
    facts = doctor(DoctorConfig(device_target="CPU"))
    assert "ms on CPU" in facts["training step"]
    assert facts["bf16 products"].replace(",", ":").partition(":")[0] in ("yes", "no")
    assert capsys.readouterr().out.splitlines()[-1].startswith("training step")


def test_a_step_that_fails_is_a_fact_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "src.stages.diagnostics.trial_step", None)
    assert doctor(DoctorConfig())["training step"].startswith("failed: ")
