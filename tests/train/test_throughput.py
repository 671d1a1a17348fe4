"""What a stage says of its speed: operations counted by hand, times apart from compilation."""

import re
import time

import numpy as np
import pytest
from mindspore import Tensor, nn

from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_terms, prediction_terms
from src.model.bert import BertClassifier
from src.model.layers import Dense
from src.train.matmul_precision import matmul_rate
from src.train.throughput import (
    MIN_SECONDS,
    ThroughputMeter,
    forward_flops,
    masked_lm_flops,
    step_flops,
    throughput_line,
)
from tests.tiny import TINY

LINE = re.compile(
    r"^throughput: (\d+\.\d) examples/s, (\d+) real tokens/s"
    r"(, (\d+\.\d) GFLOP/s \((?:(\d+)% of this machine's matmul rate, measured (\d+\.\d) GFLOP/s|"
    r"matmul rate not measured)\))?$"
)


pytestmark = pytest.mark.usefixtures("graph_mode")


def by_hand(config, length):
    """Two operations for each multiply-add of each product [m, k] x [k, n], listed one by one."""
    hidden, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
    a_layer = [(length, hidden, hidden)] * 4 + [(length, hidden, inner), (length, inner, hidden)]
    a_layer += [(length, hidden // heads, length), (length, length, hidden // heads)] * heads
    head = [(1, hidden, hidden), (1, hidden, config.num_labels)]
    return sum(2 * m * k * n for m, k, n in a_layer * config.num_hidden_layers + head)


@pytest.mark.parametrize("length", [1, 16, 128])
def test_operations_of_a_row(length):
    assert forward_flops(TINY, length) == by_hand(TINY, length)
    layer = [(1, 32, 32)] * 2 + [(length, 32, 32)] * 2 + [(1, 32, 48), (1, 48, 32)]  # the last, for [CLS]
    layer += [(1, 8, length), (1, length, 8)] * 4
    cls_only = forward_flops(TINY, length, 1) + sum(2 * m * k * n for m, k, n in layer) + 2 * 32 * (32 + 2)
    assert forward_flops(TINY, length, logits_only=True) == cls_only
    by_token = TINY.replace(output_mode="token_classification")
    assert forward_flops(by_token, length, logits_only=True) == by_hand(TINY, length)
    half = forward_flops(TINY, length, 1)
    assert 2 * half == by_hand(TINY, length) - 2 * 32 * (32 + 2)
    inner = TINY.intermediate_size
    end = [(1, 32, 32), (1, 32, inner), (1, inner, 32)]  # of the last layer, which no other token needs
    head = [(1, 32, 32), (1, 32, 70)]
    heads, asked = TINY.num_attention_heads, [(length, 32, 32)] * 3
    asked += [(length, 8, length), (length, length, 8)] * heads + end
    # Key and value matrices of 8 x 32 for each head, applied to its query and to the mean of hidden states.
    packed = [(1, 32, 32)] + [(1, 8, 32), (1, 32, length), (1, length, 32), (1, 32, 8)] * heads + end
    for products, is_packed in ((asked, False), (packed, True)):
        assert masked_lm_flops(TINY, length, 70, is_packed) == half + sum(
            2 * m * k * n for m, k, n in [*products, *head]
        )


def test_operations_of_a_step():
    student, teacher = BertClassifier(TINY), BertClassifier(TINY.replace(num_hidden_layers=6))
    logits = forward_flops(TINY, 8, logits_only=True)
    a_layer = forward_flops(TINY, 8, 1)
    alone = DistillNetwork(student, prediction_terms("classification"))
    assert step_flops(alone)(8) == 3 * logits
    # A map that ends at layer 4 leaves two layers and the head of the teacher out; five states are fitted.
    has_teacher = DistillNetwork(student, intermediate_terms(1, 1, 1), teacher, (2, 4), Dense(32, 32, TINY))
    assert step_flops(has_teacher)(8) == 3 * (2 * a_layer + 3 * 2 * 8 * 32 * 32) + 4 * a_layer
    shallow = DistillNetwork(student, intermediate_terms(1, 0, 0), teacher, (2, 4))
    assert step_flops(shallow)(8) == 0


class Double(nn.Cell):
    def construct(self, x):
        return x * 2.0


def test_each_shape_is_compiled_apart():
    said, meter = [], None
    meter = ThroughputMeter(said.append)
    graph = meter.compiled(Double(), "test", flops=lambda length: 10 * length)
    for length in (4, 8, 4):
        x = np.ones((3, length), np.float32)
        assert (graph(Tensor(x)).asnumpy() == 2 * x).all()
    assert [re.sub(r"in \d+\.\d s", "in N s", line) for line in said] == [
        "compiled the graph of length 4 in N s (test)",
        "compiled the graph of length 8 in N s (test)",
    ]
    assert meter.graphs == 2 and meter.flops == 3 * 10 * (4 + 8 + 4)
    with meter.working():
        began = time.perf_counter()
        graph(Tensor(np.ones((3, 16), np.float32)))
        spent = time.perf_counter() - began
    assert meter.seconds + (last := float(re.search(r"in (\d+\.\d) s", said[-1])[1])) == pytest.approx(
        spent, abs=0.1
    )
    assert last >= 0 and meter.graphs == 3


def test_the_last_lines():
    assert ThroughputMeter().lines() == []
    rates = []
    meter = ThroughputMeter(rate=lambda: rates.append(1) or 8e9)
    meter.add(100, 1700)
    meter.flops, meter.seconds = 2e9, MIN_SECONDS / 3
    assert LINE.match(meter.lines()[0]).groups()[3:] == ("0.2", None, None) and not rates
    meter.flops, meter.seconds = 200e9, MIN_SECONDS * 2
    meter.log_compilation("test", 8, 1.25)
    first, second = meter.lines()
    assert LINE.match(first).groups() == ("1.7", "28", LINE.match(first)[3], "3.3", "42", "8.0")
    assert second == "compiled 1 graph in 1.2 s" and rates == [1]
    # Two ranks: twice the work in the same time, and two machines' rates.
    (line, _) = meter.lines(lambda numbers: [2 * number for number in numbers])
    assert LINE.match(line).groups()[:2] == ("3.3", "57") and line.endswith("measured 16.0 GFLOP/s)")
    assert "42%" in line
    assert LINE.match(throughput_line(10, 200, 0, 0.5)).groups()[:3] == ("20.0", "400", None)
    assert throughput_line(10, 0, 0, 0.5) == "throughput: 20.0 examples/s"


def test_the_rate_is_that_of_real_products():
    began = time.perf_counter()
    rate = matmul_rate()
    spent = time.perf_counter() - began
    # All rounds together cannot have been faster than the best of them.
    assert rate >= 4 * 2 * 1024**3 / spent and rate < 1e15
