"""Scaling by lengths, totals of the recipe, result rows, and peers in subprocesses."""

import json
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from benchmarks.bench_recipe import EPOCHS, OURS, main, total
from benchmarks.comparison import Comparison
from benchmarks.processes import Peer, last_line
from benchmarks.report import row_of
from benchmarks.sst2_lengths import COUNTS, full_dataset, slice_of
from src.errors import UserError


def comparison(response: dict[str, Any], counts: dict[str, int]) -> Comparison:
    """Return a Comparison with one peer that always returns `response`."""
    peers = Comparison.__new__(Comparison)
    peers.peers, peers.unavailable = {"ours": Mock(request=Mock(return_value=response))}, {"bf16": "reason"}
    peers.prepared = {"ours": {"counts": counts}}
    return peers


def test_epoch_time_weights_each_length_by_its_batches():
    response = {"steps": [["8", 1.0], ["64", 5.0], ["8", 3.0], ["8", 2.0]], "rest": 0.4}
    peers = comparison(response, {"8": 30, "64": 10})
    # 30 steps of 2 s, 10 of 5 s, and 0.4 s per 4 of the 40 steps.
    assert peers.epoch_seconds("ours", "later") == pytest.approx(60 + 50 + 4)
    assert peers.epoch_seconds("bf16", "later") is None


def test_untimed_length_is_an_error():
    with pytest.raises(UserError, match="increase --rows"):
        comparison({"steps": [["8", 1.0]], "rest": 0.0}, {"8": 3, "16": 1}).epoch_seconds("ours", "later")


def test_recipe_adds_compilation_and_epochs(tmp_path, capsys):
    assert (EPOCHS, sum(OURS.values())) == ({"phase1": 10, "phase2": 3}, 13)
    assert total({"a": [1, 2], "b": [10, 20]}, {"a": 2, "b": 3}) == [32, 64]
    torch = {"phase1": [100.0, 100.0], "phase2": [80.0, 80.0]}
    ours = {"first": [30.0, 40.0], "later": [9.0, 9.0], "phase2": [7.0, 7.0]}
    measured = {
        "seconds": {"original": torch, "easy": torch, "fp32": ours, "auto": ours},
        "compile": {"fp32": 45.0, "auto": 0.0},
        "memory": {"original": 2.0, "fp32": 1.5, "auto": 1.5},
        "absent": {"bf16": "no bf16 here"},
    }
    (tmp_path / "epoch.json").write_text(json.dumps(measured))
    files = {"measured": "epoch.json", "json": "out.json", "plot": "p.png"}
    main([f"--{flag}={tmp_path / name}" for flag, name in files.items()])
    _, fp32, bf16 = json.loads((tmp_path / "out.json").read_text())["rows"]
    # 45 + 30 + 9 * 9 + 3 * 7 = 177, 10 more in the second round; PyTorch: 10 * 100 + 3 * 80.
    expected = [seconds / 1240 for seconds in (177, 182, 187)]
    assert [fp32[key] for key in ("low", "ratio", "high")] == pytest.approx(expected)
    assert (bf16["ratio"], bf16["reason"]) == (None, "no bf16 here")
    assert (tmp_path / "p.png").stat().st_size > 1000
    assert "45.0 s of compilation" in capsys.readouterr().out


def test_row_compares_times_within_a_round():
    row = row_of("step_fp32", [1.0, 4.0, 3.0], [2.0, 2.0, 3.0], [1.0, 2.0, 1.5], (1.0, 2.0))
    assert [row[key] for key in ("low", "ratio", "high", "against_easy")] == [0.5, 1.0, 2.0, 2.0]


def test_slice_keeps_the_length_distribution():
    full = full_dataset()
    assert full.rows == sum(COUNTS) == 67349
    part = slice_of(full, 640)
    shares = [np.histogram(data.lengths, [0, 8, 16, 32, 64])[0] / data.rows for data in (full, part)]
    assert part.rows == 640 and np.abs(shares[0] - shares[1]).max() < 0.003
    assert list(part.lengths) != sorted(part.lengths)


def test_peer_returns_results_and_reports_its_death(tmp_path):
    peer = Peer("counter", "collections:Counter", {"a": 2}, {}, tmp_path)
    assert peer.request("copy") == {"a": 2}
    assert 0 < peer.memory < 1
    with pytest.raises(UserError, match="counter died .*no attribute 'nothing'"):
        peer.request("nothing")
    peer.close()
    assert last_line("one\ntwo\n") == "two" and last_line("") == "no message"
