"""Graphs compile for GPU; cuda_stand_ins.py describes what this does and does not verify."""

import re
import shutil

import pytest

from tests.device.cuda_stand_ins import TOOLS, write_libraries
from tests.device.graphs import NAMES, ROOT, compile_commands, compile_control, need
from tests.device.operators import saved_operators


@pytest.fixture(scope="module")
def cuda(tmp_path_factory):
    """Environment variables that make MindSpore compile for a GPU."""
    need(TOOLS)
    return write_libraries(tmp_path_factory.mktemp("cuda") / "home")


@pytest.fixture(scope="module", params=["float16", pytest.param("float32", marks=pytest.mark.slow)])
def compiled(request, tmp_path_factory, cuda, vocabulary, sst2):
    """({name: Command}, {name: row of compile_only}); float16 is what `auto` chooses on a GPU."""
    folder = tmp_path_factory.mktemp(request.param)
    return compile_commands(cuda, folder, "GPU", request.param, vocabulary, sst2)


def test_every_command_is_listed(compiled):
    assert tuple(compiled[0]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_graphs_compile(compiled, name):
    known, rows = compiled
    assert not rows[name]["error"]
    assert rows[name]["compiled"][-1] == known[name].cell and rows[name]["target"] == "GPU"


@pytest.mark.slow
def test_the_table_of_operators_is_complete(cuda, tmp_path, vocabulary, sst2):
    graphs = tmp_path / "graphs"  # some 5 GB
    saved = {"MS_DEV_SAVE_GRAPHS": "1", "MS_DEV_SAVE_GRAPHS_PATH": str(graphs)}
    try:
        compile_commands({**cuda, **saved}, tmp_path, "GPU", "float32", vocabulary, sst2)
        found = saved_operators(graphs)
    finally:
        shutil.rmtree(graphs, ignore_errors=True)
    page = (ROOT / "docs" / "launchers.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| `(\w+)` \|", page[page.index("| operator |") :], re.MULTILINE)
    assert len(found) > 50 and found <= set(written)


def test_operator_without_a_gpu_kernel_fails(cuda, tmp_path):
    """Negative control: the stubs do not accept everything."""
    row = compile_control(cuda, tmp_path, "GPU", "ms.Tensor([[1.0]], ms.bfloat16)")
    assert not row["compiled"] and "MatMul" in row["error"]
