"""Description of the machine."""

from src import machine


def test_every_fact_is_a_single_line():
    facts = machine.describe_machine()
    assert {"platform", "python", "packages", "cores", "memory", "disk", "compiler"} <= set(facts)
    assert all(value and "\n" not in value for value in facts.values())
    assert "numpy 1." in facts["packages"]


def test_machine_without_proc(monkeypatch):
    monkeypatch.setattr(machine, "_lines", lambda path: [])
    facts = machine.describe_machine()
    assert facts["memory"] == "unknown" and facts["instructions"].startswith("none")
