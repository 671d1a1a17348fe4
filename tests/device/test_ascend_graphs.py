"""Graphs pass the front end for Ascend; cann_stand_ins.py describes what this does and does not verify."""

import pytest

from tests.device.cann_stand_ins import TOOLS, write_libraries
from tests.device.graphs import NAMES, compile_commands, compile_control, need

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cann(tmp_path_factory):
    """Environment variables that make MindSpore compile for Ascend."""
    need(TOOLS)
    return write_libraries(tmp_path_factory.mktemp("cann") / "home")


@pytest.fixture(scope="module", params=["float16", "float32"])
def compiled(request, tmp_path_factory, cann, vocabulary, sst2):
    """({name: Command}, {name: row of compile_only}); float16 is what `auto` chooses on Ascend."""
    folder = tmp_path_factory.mktemp(request.param)
    return compile_commands(cann, folder, "Ascend", request.param, vocabulary, sst2)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "data_sink"])
def test_graphs_compile(compiled, name):
    known, rows = compiled
    assert not rows[name]["error"]
    assert rows[name]["compiled"][-1] == known[name].cell and rows[name]["target"] == "Ascend"


def test_shapes_that_do_not_fit_fail(cann, tmp_path):
    """Negative control: the front end infers shapes. It accepts operators without a kernel."""
    row = compile_control(cann, tmp_path, "Ascend", "ms.Tensor([[1.0, 2.0]], ms.float32)")
    assert not row["compiled"] and "MatMul" in row["error"]
