"""Graphs compile for GPU; cuda_stand_ins.py describes what this does and does not verify."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.commands import commands, write_teacher_cache
from tests.device.cuda_stand_ins import missing_tools, write_libraries

ROOT = Path(__file__).resolve().parents[2]
CONTROL = """
import mindspore as ms
from mindspore import ops

ms.set_context(mode=ms.GRAPH_MODE)
ms.set_device("GPU")


class MatMul(ms.nn.Cell):
    def construct(self, x):
        return ops.matmul(x, x)


MatMul()(ms.Tensor([[1.0]], ms.bfloat16))
"""
NAMES = (
    "finetune",
    "regression",
    "multi_label",
    "token_classification",
    "data_sink",
    "general_distill",
    "phase1",
    "phase1_cached",
    "teacher_cache",
    "phase2",
    "phase2_cached",
    "relative_positions",
    "q8bert",
    "q8bert_per_channel",
    "q8bert_calibration",
    "q8bert_teacher",
    "evaluate",
    "masked_words",
)


@pytest.fixture(scope="module")
def cuda(tmp_path_factory):
    """Environment variables that make MindSpore compile for a GPU."""
    if missing_tools():
        pytest.skip(f"needs {' and '.join(missing_tools())}")
    return write_libraries(tmp_path_factory.mktemp("cuda") / "home")


def compile_all(cuda, folder, entries):
    """{name: row} of compile_only over the commands in `entries`."""
    file = folder / "commands.json"
    file.write_text(json.dumps(entries))
    environment = {**os.environ, "GLOG_v": "3", "PYTHONPATH": str(ROOT), **cuda}
    command = [sys.executable, "-m", "tests.device.compile_only", str(file)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{"name"')]
    assert len(rows) == len(entries), result.stdout[-1000:] + result.stderr[-3000:]
    return {row["name"]: row for row in rows}


@pytest.fixture(scope="module", params=["float16", pytest.param("float32", marks=pytest.mark.slow)])
def compiled(request, tmp_path_factory, cuda, vocabulary, sst2):
    """({name: Command}, {name: row of compile_only}); float16 is what `auto` chooses on a GPU."""
    folder, dtype = tmp_path_factory.mktemp(request.param), request.param
    known = commands(folder, vocabulary, sst2)
    write_teacher_cache(known["phase1_cached"], folder / "cpu", dtype)
    device = {"device_target": "GPU", "dtype": dtype, "compute_type": dtype}
    entries = {name: entry.as_json(folder / f"out_{name}", **device) for name, entry in known.items()}
    return known, compile_all(cuda, folder, entries)


def test_every_command_is_listed(compiled):
    assert tuple(compiled[0]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_graphs_compile(compiled, name):
    known, rows = compiled
    assert not rows[name]["error"]
    assert rows[name]["compiled"][-1] == known[name].cell and rows[name]["target"] == "GPU"


def test_operator_without_a_gpu_kernel_fails(cuda, tmp_path):
    """Negative control: the stubs do not accept everything."""
    (tmp_path / "control.py").write_text(CONTROL)
    entry = {"arguments": [str(tmp_path / "control.py")], "until": "MatMul"}
    row = compile_all(cuda, tmp_path, {"control": entry})["control"]
    assert not row["compiled"] and "MatMul" in row["error"]
