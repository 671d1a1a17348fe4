"""Benchmarks from flags to results, over subjects of known speed: which peers are compared, and how."""

import json
from importlib.util import find_spec

import pytest

from benchmarks import bench_epoch, bench_recipe, bench_step, bench_teacher_cache, comparison
from benchmarks.processes import Peer

pytestmark = pytest.mark.reference  # the benchmarks require torch, whatever their subjects
BF16 = "this processor has no bf16"


@pytest.fixture
def run_benchmark(monkeypatch, tmp_path):
    """Function that runs a benchmark and returns {name: row} of its JSON."""
    if not all(map(find_spec, ("torch", "transformers"))):  # an import would take seconds
        pytest.skip("needs torch and transformers")
    subject = "tests.benchmarks.steady_subject:Steady"

    def peer(name, _, *rest):
        return Peer(name, subject, *rest)

    monkeypatch.setattr(comparison, "Peer", peer)
    monkeypatch.setattr(comparison, "write_teacher", lambda preset, folder: None)

    def run(benchmark, *arguments):
        file = tmp_path / f"{benchmark.__name__}.json"
        benchmark.main([f"--json={file}", "--rounds=2", *arguments])
        return {row["name"]: row for row in json.loads(file.read_text())["rows"]}

    return run


def test_step(run_benchmark, capsys):
    rows = run_benchmark(bench_step, "--quick")
    assert rows["step_fp32"]["ratio"] == pytest.approx(0.9)
    assert rows["step_fp32"]["against_easy"] == pytest.approx(1.8)
    assert rows["step_fp32"]["seconds"] == pytest.approx(0.9)
    assert (rows["step_bf16"]["ratio"], rows["step_bf16"]["reason"]) == (None, BF16)
    output = capsys.readouterr().out
    assert "PyTorch, medium: 0.500 of the original" in output and "[1], 3 steps" in output


def test_epochs_and_the_recipe_composed_of_them(run_benchmark, tmp_path):
    rows = run_benchmark(bench_epoch)
    expected = {
        "epoch_first_auto": 0.3,
        "epoch_first_fp32": 0.3,
        "epoch_later_fp32": 0.09,
        "phase2_fp32": 0.1,
    }
    assert {name: rows[name]["ratio"] for name in expected} == pytest.approx(expected)
    assert rows["epoch_later_bf16"]["reason"] == BF16
    # Two steps per epoch: 0.26 + 2 * (0.3 + 9 * 0.09 + 3 * 0.08) over 2 * (10 + 3 * 0.8).
    for flags in ([f"--measured={tmp_path / 'benchmarks.bench_epoch.json'}"], []):
        rows = run_benchmark(bench_recipe, *flags)
        for name in ("recipe_auto", "recipe_fp32"):
            assert rows[name]["ratio"] == pytest.approx((0.26 + 2 * 1.35) / 24.8)
        assert rows["recipe_bf16"]["reason"] == BF16


def test_teacher_cache(run_benchmark):
    rows = run_benchmark(bench_teacher_cache)
    assert rows["teacher_cache_first_epoch"]["ratio"] == pytest.approx(0.3 / 0.9)
    assert rows["teacher_cache_later_epochs"]["ratio"] == pytest.approx(0.1)
