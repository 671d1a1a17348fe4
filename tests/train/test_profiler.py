"""--profile: names and sums of the framework's table, and what a run of the profiler writes."""

import csv

import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from src.train.profiler import (
    DEVICE_TABLES,
    PARTS,
    WARM_UP,
    StepProfile,
    add_up,
    operator_name,
    read_operators,
    shares,
)

HEADER = "op_side,op_type,op_name,full_op_name,op_occurrences,op_total_time(ms),op_avg_time(ms),x,y,pid"


@pytest.mark.parametrize(
    ("kind", "place", "name"),
    [
        ("MatMul", "Default/network-DistillNetwork/student-BertEncoder/MatMul-op0", "MatMul"),
        ("MatMul", "Gradients/Default/network-X/Grad_MatMul/MatMul-op0", "MatMul, backward"),
        ("MatMul", "Default/network-X/teacher-BertClassifier/bert-BertModel/MatMul-op0", "teacher: MatMul"),
        ("Custom", "Default/activation-BiasGelu/Custom-op0", "BiasGelu (kernel)"),
        ("Custom", "Gradients/Default/act-BiasGelu/Grad_Custom/Custom-op2", "BiasGelu (kernel), backward"),
        ("Custom", "Default/Custom-op2", "Custom"),
    ],
)
def test_names_of_operators(kind, place, name):
    assert operator_name(kind, place) == name


def test_equal_names_are_added_up(tmp_path):
    rows = ["MatMul,a,Default/x-A/MatMul-op0,2,3.0", "Mul,b,Default/Mul-op0,4,1.0"]
    rows += ["MatMul,c,Default/MatMul-op1,2,4.0"]
    path = tmp_path / "cpu_op_detail_info_0.csv"
    path.write_text("\n".join([HEADER, *(f"Host,{row},0,0,Default,1" for row in rows)]) + "\n")
    table = add_up(read_operators(path, DEVICE_TABLES["CPU"]))
    assert table == [("MatMul", 4, 7.0), ("Mul", 4, 1.0)]
    assert shares(table)[0] == ("MatMul", 4, "7.000", "0.8750")


@pytest.mark.parametrize(
    ("target", "text", "expected"),
    [
        (
            "GPU",
            "op_side,op_type,op_name,op_full_name,op_occurrences,op_total_time(us),op_avg_time(us),"
            "total_proportion,cuda_activity_cost_time(us),cuda_activity_call_count\n"
            "Device,MatMul,MatMul-op0,Gradients/Default/MatMul-op0,2,1500.0,750.0,0.5,1400.0,2\n",
            ("MatMul, backward", 2, 1.5),
        ),
        (
            "Ascend",
            "OP Type,Core Type,Count,Total Time(us),Min Time(us),Avg Time(us),Max Time(us),Ratio(%)\n"
            "MatMulV2,AI_CORE,30,380.25,11.2,12.674,14.86,100.0\n",
            ("MatMulV2", 30, 0.38025),
        ),
    ],
)
def test_tables_of_devices(tmp_path, target, text, expected):
    (tmp_path / "table.csv").write_text(text)
    ((name, calls, milliseconds),) = read_operators(tmp_path / "table.csv", DEVICE_TABLES[target])
    assert (name, calls, pytest.approx(milliseconds)) == expected


class Product(nn.Cell):
    def __init__(self):
        super().__init__()
        self.product = ops.MatMul()

    def construct(self, x):
        return self.product(x, x).sum()


@pytest.mark.parametrize("left", [WARM_UP + 5, 3])
def test_steps_after_the_warm_up(graph_mode, tmp_path, left):
    said, cell, x = [], Product(), Tensor(np.ones((8, 8), np.float32))
    cell(x)
    profile = StepProfile(3, left, tmp_path / "profile" / "phase1", said.append)
    for step in range(left):
        profile.before_step()
        seconds = (0.001, 0.002, 0.003, 0.004)
        profile.after_step(cell(x), 1, seconds, compiled=step == WARM_UP + 1)
    profile.end()
    split = "waiting for data 1.00 ms, teacher 2.00 ms, to the device 3.00 ms, train step 4.00 ms"
    assert said[0].startswith(f"profile of {3 - (left > WARM_UP)} steps, in each: {split}")
    assert any("MatMul" in line and "3 calls" in line for line in said[1:])
    with open(tmp_path / "profile" / "phase1_operators.csv", newline="") as file:
        operators = {row["operator"]: row for row in csv.DictReader(file)}
    assert operators["MatMul"]["calls"] == "3" and float(operators["MatMul"]["milliseconds"]) > 0
    assert sum(float(row["share"]) for row in operators.values()) == pytest.approx(1, abs=0.01)
    with open(tmp_path / "profile" / "phase1_steps.csv", newline="") as file:
        parts = {row["part"]: float(row["milliseconds a step"]) for row in csv.DictReader(file)}
    assert tuple(parts) == PARTS and parts["train step"] == 4.0 and parts["reading back"] > 0


def test_no_step_no_table(tmp_path):
    profile = StepProfile(3, 0, tmp_path / "phase1", pytest.fail)
    profile.end()
    assert not list(tmp_path.iterdir())
