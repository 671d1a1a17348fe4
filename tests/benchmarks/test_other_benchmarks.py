"""The benchmarks of kernels and serving run and write their results."""

import json

import pytest

from benchmarks import bench_kernels


@pytest.mark.usefixtures("graph_mode")
def test_kernels_against_plain_operators(tmp_path, capsys):
    file = tmp_path / "kernels.json"
    bench_kernels.main(["--lengths", "8", "--repeats", "2", "--only", "loss of hidden", f"--json={file}"])
    rows = json.loads(file.read_text())["rows"]
    assert rows and all(0 < row["low"] <= row["ratio"] <= row["high"] for row in rows)
    printed = capsys.readouterr().out
    assert all(row["name"] in printed for row in rows)


@pytest.mark.reference
@pytest.mark.usefixtures("graph_mode")
def test_serving_against_pytorch(tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from benchmarks import bench_serving

    models = ["--models", "small=random:3L-312", "--peer", "3L-312", "--output_dir", str(tmp_path / "out")]
    small = ["--lengths", "8", "--repeats", "2", "--batches", "1", "--threads", "1"]
    bench_serving.main(models + small)
    table = capsys.readouterr().out
    assert "torch 3L-312" in table and "small" in table
