"""Computations timed by bench_kernels, each built with C++ kernels and with plain operators.

Letters: B batch, S length, H hidden, N heads, R rows (B * S).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from benchmarks.comparison import NO_DROPOUT
from src.config.bert_config import BertConfig, preset
from src.config.data_config import DeviceConfig
from src.config.train_config import TrainConfig
from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_terms
from src.kernels.layers import bind_dropout
from src.model.attention import SelfAttention
from src.model.bert import BertClassifier
from src.model.layers import Dense, Layers
from src.quant.quantizers import Operators, Symmetric
from src.stages.model.device import DeviceSetup, setup_device
from src.stages.training.fit import freeze
from src.train.optimizer import adam_weight_decay, polynomial_schedule
from src.train.train_step import LossScale, SquaredNorm, TrainStep

LABELS: dict[str, Any] = {"labels": ("0", "1")}


Calls = tuple[Callable[[], object], ...]  # one per version: with kernels, with plain operators
CellOrOperator = Callable[..., Any]


def normal(*shape: int) -> Tensor:
    """Draw a float32 tensor from the standard normal distribution, with a fixed seed."""
    return Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


class Gradient(nn.Cell):
    """Sum of a cell's outputs with all gradients, so that no part of the graph is optimized away."""

    def __init__(self, cell: CellOrOperator, positions: int | tuple[int, ...]) -> None:
        super().__init__()
        self.total = Total(cell)
        weights = list(self.total.trainable_params())
        self.gradient = ms.value_and_grad(self.total, positions, weights or None)

    def construct(self, *inputs: Tensor) -> tuple[Any, ...]:
        return self.gradient(*inputs)


class Total(nn.Cell):
    """Sum of a cell's outputs."""

    def __init__(self, cell: CellOrOperator) -> None:
        super().__init__()
        self.cell = cell

    def construct(self, *inputs: Tensor) -> Tensor:
        outputs = self.cell(*inputs)
        if not isinstance(outputs, tuple):
            outputs = (outputs,)
        total = Tensor(0.0, ms.float32)
        for output in outputs:
            total = total + output.sum()
        return total


class Attend(nn.Cell):
    """Self-attention over rows without padding."""

    def __init__(self, config: BertConfig, layers: Layers, rows: int, length: int) -> None:
        super().__init__()
        self.attention = SelfAttention(config, layers)
        self.mask_bias = Tensor(np.zeros((rows, 1, 1, length), np.float32))
        self.rows = rows

    def construct(self, hidden: Tensor) -> Tensor:
        return self.attention(hidden, hidden, self.mask_bias, self.rows)


class FakeQuantized(nn.Cell):
    """Symmetric 8-bit fake quantization, clipped at the tensor's absolute maximum."""

    def __init__(self, operators: Operators) -> None:
        super().__init__()
        self.quantizer = Symmetric(8, operators=operators)

    def construct(self, x: Tensor) -> Tensor:
        return self.quantizer(x, self.quantizer.clip_value(x))


class TeacherLoss(nn.Cell):
    """A distillation loss as a cell."""

    def __init__(self, loss: CellOrOperator, mask: Tensor) -> None:
        super().__init__()
        self.loss, self.mask = loss, mask

    def construct(self, student: Tensor, teacher: Tensor) -> Tensor:
        return self.loss(student, ops.stop_gradient(teacher), self.mask)


class KernelPairs:
    """All timed computations at one size: `teacher` {BertConfig field: value}, `rows` of `length` tokens."""

    def __init__(self, teacher: Mapping[str, Any], rows: int, length: int) -> None:
        self.teacher = BertConfig(**teacher, **LABELS, **NO_DROPOUT)
        self.rows, self.length = rows, length
        self.devices = [setup_device(DeviceConfig(kernels=mode), print) for mode in ("auto", "off")]

    def operators(self) -> dict[str, Callable[[], Calls]]:
        """Return {name: factory of the calls}: forward only, and forward with gradients."""
        tokens, config = self.rows * self.length, self.teacher
        width, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
        mask = Tensor(np.ones((self.rows, self.length), np.float32))
        scores = (self.rows, heads, self.length, self.length)
        hidden, vector = normal(tokens, width), normal(width)
        computations: dict[str, tuple[Callable[[DeviceSetup], CellOrOperator], tuple[Tensor, ...]]] = {
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
            "fake quantization": (lambda d: FakeQuantized(d.quantizers), (normal(tokens, inner),)),
            "loss of hidden states": (lambda d: TeacherLoss(self._loss(d, 0), mask), (hidden, hidden + 1)),
            "loss of attention scores": (
                lambda d: TeacherLoss(self._loss(d, 1), mask),
                (normal(*scores), normal(*scores) + 1),
            ),
        }
        factories: dict[str, Callable[[], Calls]] = {}
        for name, (constructor, inputs) in computations.items():
            factories[name] = partial(self._calls, constructor, inputs, gradient=False)
            factories[f"{name}, with gradients"] = partial(self._calls, constructor, inputs, gradient=True)
        weights = [normal(30522, 312), *(normal(1200, 312) for _ in range(12))]
        norm = partial(self._calls, lambda d: d.squared_norm or SquaredNorm(), weights, gradient=False)
        factories["squared norm of 14 million numbers"] = norm
        return factories

    def steps(self, dropout: float) -> Calls:
        """Return the calls of a complete phase-1 train step with a 3L-312 student, update included."""
        batch, steps = self._batch(), [self._step(device, dropout) for device in self.devices]
        return tuple(lambda step=step: step(*batch)[0].asnumpy() for step in steps)

    def _loss(self, device: DeviceSetup, index: int) -> CellOrOperator:
        term = intermediate_terms(1.0, 1.0, 1.0, **device.losses)[1 + index]
        return term.loss

    def _calls(
        self, constructor: Callable[[DeviceSetup], CellOrOperator], inputs: Sequence[Tensor], gradient: bool
    ) -> Calls:
        cells = []
        for device in self.devices:
            cell = constructor(device)
            if isinstance(cell, nn.Cell):
                cell.set_train(gradient)
            positions = tuple(range(len(inputs))) if len(inputs) > 1 else 0
            cells.append(Gradient(cell, positions) if gradient else Forward(cell))
        return tuple(lambda cell=cell: _wait(cell(*inputs)) for cell in cells)

    def _step(self, device: DeviceSetup, dropout: float) -> TrainStep:
        rates = {name: dropout for name in NO_DROPOUT}
        config = preset("3L-312", **LABELS, **rates)
        student = BertClassifier(config, device.layers)
        teacher = freeze(BertClassifier(self.teacher, device.layers))
        rows = intermediate_terms(1.0, 1.0, 1.0, **device.losses)
        projection = Dense(312, self.teacher.hidden_size, config)
        network = DistillNetwork(student, rows, teacher, (2, 4, 6), projection)
        schedule = polynomial_schedule(100_000, 5e-5, 0.0, 1.0, 0.1)
        optimizer = adam_weight_decay(network.trainable_params(), schedule, TrainConfig(), device.optimizer)
        bind_dropout(network, optimizer.global_step, 1)
        network.set_train(True)
        teacher.set_train(False)
        scale = LossScale(65536.0, 2.0, 50)
        return TrainStep(network, optimizer, scale, 1.0, squared_norm=device.squared_norm)

    def _batch(self) -> tuple[Tensor, ...]:
        shape = (self.rows, self.length)
        rng = np.random.default_rng(0)
        lengths = rng.integers(self.length // 2, self.length + 1, self.rows)
        mask = (np.arange(self.length) < lengths[:, None]).astype(np.int32)
        ids = rng.integers(1000, 20_000, shape).astype(np.int32) * mask
        labels, weights = np.zeros(self.rows, np.int32), np.ones(self.rows, np.float32)
        columns = (ids, np.zeros_like(ids), mask, labels, weights)
        return tuple(map(Tensor, columns))


class Forward(nn.Cell):
    """Wraps a cell or an operator as a network."""

    def __init__(self, cell: CellOrOperator) -> None:
        super().__init__()
        self.cell = cell

    def construct(self, *inputs: Tensor) -> Any:
        return self.cell(*inputs)


def _wait(value: Any) -> np.ndarray:
    # Reading one output waits until the whole graph has run.
    while isinstance(value, (tuple, list)):
        value = value[0]
    return value.asnumpy()
