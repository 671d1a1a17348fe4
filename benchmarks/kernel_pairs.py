"""The things that bench_kernels times, each made with kernels and with plain operators.

Letters: B batch, S length, H hidden, N heads, R rows (B * S).
"""

from functools import partial

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from src.config.bert_config import BertConfig, preset
from src.config.data_config import DeviceConfig
from src.config.train_config import TrainConfig
from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_rows
from src.kernels.layers import bind_dropout
from src.model.attention import SelfAttention
from src.model.bert import BertClassifier
from src.model.layers import Dense
from src.quant.quantizers import Symmetric
from src.stages.model.device import setup_device
from src.stages.training.fit import freeze
from src.train.optimizer import adam_weight_decay, polynomial_schedule
from src.train.train_step import LossScale, SquaredNorm, TrainStep

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
LABELS = {"labels": ("0", "1")}


def normal(*shape):
    return Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


class Gradient(nn.Cell):
    """Outputs of a cell, and the gradients of its inputs, touched so that none is left out."""

    def __init__(self, cell, places):
        super().__init__()
        self.total = Total(cell)
        weights = list(self.total.trainable_params())
        self.gradient = ms.value_and_grad(self.total, places, weights or None)

    def construct(self, *inputs):
        return self.gradient(*inputs)


class Total(nn.Cell):
    """The sum of a cell's outputs."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, *inputs):
        outputs = self.cell(*inputs)
        if not isinstance(outputs, tuple):
            outputs = (outputs,)
        total = Tensor(0.0, ms.float32)
        for output in outputs:
            total = total + output.sum()
        return total


class Attend(nn.Cell):
    """Self-attention of rows without padding."""

    def __init__(self, config, layers, rows, length):
        super().__init__()
        self.attention = SelfAttention(config, layers)
        self.mask_bias = Tensor(np.zeros((rows, 1, 1, length), np.float32))
        self.shape = (rows, length)

    def construct(self, hidden):
        return self.attention(hidden, self.mask_bias, self.shape)


class Rounded(nn.Cell):
    """A tensor on an 8-bit grid of its own largest magnitude."""

    def __init__(self, operators):
        super().__init__()
        self.quantizer = Symmetric(8, operators=operators)

    def construct(self, x):
        return self.quantizer(x, self.quantizer.measure(x))


class Compare(nn.Cell):
    """A loss as a cell."""

    def __init__(self, loss, mask):
        super().__init__()
        self.loss, self.mask = loss, mask

    def construct(self, student, teacher):
        return self.loss(student, ops.stop_gradient(teacher), self.mask)


class Parts:
    """What can be timed at one size."""

    def __init__(self, teacher, rows, length):
        self.teacher = BertConfig(**teacher, **LABELS, **NO_DROPOUT)
        self.rows, self.length = rows, length
        self.devices = [setup_device(DeviceConfig(kernels=kind), print) for kind in ("auto", "off")]

    def operators(self):
        """{name: function that makes the calls}: forward alone, and forward with gradients."""
        tokens, config = self.rows * self.length, self.teacher
        width, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
        mask = Tensor(np.ones((self.rows, self.length), np.float32))
        square = (self.rows, heads, self.length, self.length)
        hidden, vector = normal(tokens, width), normal(width)
        made = {
            "bias and GELU": (
                lambda d: d.layers.activations["gelu"](),
                (normal(tokens, inner), normal(inner)),
            ),
            "bias, residual and LayerNorm": (
                lambda d: d.layers.residual_norm(width, config),
                (hidden, vector, hidden),
            ),
            "self-attention with its dense layers": (
                lambda d: Attend(config, d.layers, self.rows, self.length),
                (hidden,),
            ),
            "fake quantization": (lambda d: Rounded(d.quantizers), (normal(tokens, inner),)),
            "loss of hidden states": (lambda d: Compare(self._loss(d, 0), mask), (hidden, hidden + 1)),
            "loss of attention scores": (
                lambda d: Compare(self._loss(d, 1), mask),
                (normal(*square), normal(*square) + 1),
            ),
        }
        named = {}
        for name, (constructor, inputs) in made.items():
            named[name] = partial(self._calls, constructor, inputs, gradient=False)
            named[f"{name}, with gradients"] = partial(self._calls, constructor, inputs, gradient=True)
        weights = [normal(30522, 312), *(normal(1200, 312) for _ in range(12))]
        norm = partial(self._calls, lambda d: d.squared_norm or SquaredNorm(), weights, gradient=False)
        named["squared norm of 14 million numbers"] = norm
        return named

    def steps(self, dropout):
        """Calls of a whole step of phase 1, 3L-312 student; the update is part of it."""
        batch, steps = self._batch(), [self._step(device, dropout) for device in self.devices]
        return tuple(lambda step=step: step(*batch)[0].asnumpy() for step in steps)

    def _loss(self, device, place):
        row = intermediate_rows(1.0, 1.0, 1.0, **device.losses)[1 + place]
        return row.loss

    def _calls(self, constructor, inputs, gradient):
        cells = []
        for device in self.devices:
            cell = constructor(device)
            if isinstance(cell, nn.Cell):
                cell.set_train(gradient)
            places = tuple(range(len(inputs))) if len(inputs) > 1 else 0
            cells.append(Gradient(cell, places) if gradient else Whole(cell))
        return tuple(lambda cell=cell: _first(cell(*inputs)) for cell in cells)

    def _step(self, device, dropout):
        rates = {name: dropout for name in NO_DROPOUT}
        config = preset("3L-312", **LABELS, **rates)
        student = BertClassifier(config, device.layers)
        teacher = freeze(BertClassifier(self.teacher, device.layers))
        rows = intermediate_rows(1.0, 1.0, 1.0, **device.losses)
        projection = Dense(312, self.teacher.hidden_size, config)
        network = DistillNetwork(student, rows, teacher, (2, 4, 6), projection)
        schedule = polynomial_schedule(100_000, 5e-5, 0.0, 1.0, 0.1)
        optimizer = adam_weight_decay(network.trainable_params(), schedule, TrainConfig(), device.optimizer)
        bind_dropout(network, optimizer.global_step, 1)
        network.set_train(True)
        teacher.set_train(False)
        scale = LossScale(65536.0, 2.0, 50)
        return TrainStep(network, optimizer, scale, 1.0, squared_norm=device.squared_norm)

    def _batch(self):
        shape = (self.rows, self.length)
        draw = np.random.default_rng(0)
        lengths = draw.integers(self.length // 2, self.length + 1, self.rows)
        mask = (np.arange(self.length) < lengths[:, None]).astype(np.int32)
        ids = draw.integers(1000, 20_000, shape).astype(np.int32) * mask
        labels, weights = np.zeros(self.rows, np.int32), np.ones(self.rows, np.float32)
        columns = (ids, np.zeros_like(ids), mask, labels, weights)
        return tuple(map(Tensor, columns))


class Whole(nn.Cell):
    """A cell or an operator as a network of its own."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, *inputs):
        return self.cell(*inputs)


def _first(value):
    # Reading one output waits for the whole graph.
    while isinstance(value, (tuple, list)):
        value = value[0]
    return value.asnumpy()
