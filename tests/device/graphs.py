"""Compiles the graphs of commands in a process of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.device.commands import Command, commands, write_teacher_cache

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "finetune",
    "regression",
    "multi_label",
    "token_classification",
    "data_sink",
    "general_distill",
    "phase1",
    "relations",
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
CONTROL = """
import mindspore as ms
from mindspore import ops

ms.set_context(mode=ms.GRAPH_MODE)
ms.set_device("{target}")


class MatMul(ms.nn.Cell):
    def construct(self, x):
        return ops.matmul(x, x)


MatMul()({argument})
"""


def need(tools: Iterable[str]) -> None:
    """Skip the test unless the `tools` are installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")


def compile_all(
    stubs: Mapping[str, str], folder: Path, entries: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict]:
    """{name: row of compile_only} of the commands in `entries`; `stubs` are environment variables."""
    file = folder / "commands.json"
    file.write_text(json.dumps(entries))
    environment = {**os.environ, "GLOG_v": "3", "PYTHONPATH": str(ROOT), **stubs}
    command = [sys.executable, "-m", "tests.device.compile_only", str(file)]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{"name"')]
    assert len(rows) == len(entries), result.stdout[-1000:] + result.stderr[-3000:]
    return {row["name"]: row for row in rows}


def compile_commands(
    stubs: Mapping[str, str], folder: Path, target: str, dtype: str, vocabulary: Path, sst2: Path
) -> tuple[dict[str, Command], dict[str, dict]]:
    """({name: Command}, {name: row of compile_only}) of all commands for a device target."""
    known = commands(folder, vocabulary, sst2)
    write_teacher_cache(known["phase1_cached"], folder / "cpu", dtype)
    device = {"device_target": target, "dtype": dtype, "compute_type": dtype}
    if target == "Ascend":  # the first operator of a data sink runs before its graph is compiled
        del known["data_sink"]
    entries = {name: entry.as_json(folder / f"out_{name}", **device) for name, entry in known.items()}
    return known, compile_all(stubs, folder, entries)


def compile_control(stubs: Mapping[str, str], folder: Path, target: str, argument: str) -> dict[str, Any]:
    """The row of compile_only for a matrix product with itself of the tensor `argument`."""
    (folder / "control.py").write_text(CONTROL.format(target=target, argument=argument))
    entry = {"arguments": [str(folder / "control.py")], "until": "MatMul"}
    return compile_all(stubs, folder, {"control": entry})["control"]
