"""The framework leaves out of the graph what no loss reaches: counted in what was really run."""

import tempfile
from pathlib import Path

import pytest
from mindspore import Tensor, profiler

from src.distill.cached_teacher import TeacherForward
from src.model.bert import BertClassifier
from src.model.layers import FLOAT_LAYERS
from src.stages.model.device import kernel_parts
from src.train.profiler import DEVICE_TABLES, add_up, read_operators
from tests.tiny import TINY, token_batch

pytestmark = pytest.mark.usefixtures("graph_mode")


def operators_run(cell, *arrays):
    """{operator: calls} of one call of a cell, as the framework's profiler saw them."""
    columns = [Tensor(array) for array in arrays]
    cell(*columns)
    with tempfile.TemporaryDirectory() as folder:
        profiler.tensorboard_trace_handler(folder)
        watched = profiler.profile(activities=[profiler.ProfilerActivity.CPU], start_profile=False)
        watched.start()
        cell(*columns)
        watched.stop()
        (file,) = Path(folder).rglob("cpu_op_detail_info_*.csv")
        return {name: calls for name, calls, _ in add_up(read_operators(file, DEVICE_TABLES["CPU"]))}


def answering(layers, features, layer_map, constructors):
    teacher = BertClassifier(TINY.replace(num_hidden_layers=layers), constructors)
    return TeacherForward(teacher.set_train(False), features, layer_map).set_train(False)


@pytest.mark.parametrize("kernels", [False, True], ids=["plain", "kernels"])
def test_a_map_that_ends_early_stops_the_teacher_early(kernels, request):
    layers = kernel_parts(request.getfixturevalue("library"))["layers"] if kernels else FLOAT_LAYERS
    features, batch = ("embedding", "hidden", "attention"), token_batch()
    early = operators_run(answering(4, features, (1, 2), layers), *batch)
    shallow = operators_run(answering(2, features, (1, 2), layers), *batch)
    whole = operators_run(answering(4, features, (2, 4), layers), *batch)
    assert early == shallow and early["teacher: MatMul"] < whole["teacher: MatMul"]
    # Phase 1 asks for no logits: neither pooler nor classifier is computed.
    assert "teacher: Tanh" not in whole
    assert "teacher: Tanh" in operators_run(answering(2, ("logits",), (), layers), *batch)
