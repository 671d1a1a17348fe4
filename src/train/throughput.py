"""Throughput of a stage without its compilation, and the FLOPs of the matrix products behind it.

S length, H hidden, I inner size of the feed-forward layers, L layers, C labels.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindspore import nn

    from ..config.bert_config import BertConfig
    from ..distill.network import DistillNetwork

MIN_SECONDS = 30.0  # of work, below which the second that measuring the machine's own rate takes is not spent
GIGA = 1e9


class CompiledCell:
    """A cell as a function of tensors that compiles each new shape apart from its first run.

    `cell` is the cell itself, `name` the name of its graphs in the log. `flops(length)` (where given) are
    counted for each row of the first tensor, [rows, length].
    """

    def __init__(
        self,
        cell: nn.Cell,
        name: str,
        meter: ThroughputMeter,
        flops: Callable[[int], float] | None = None,
    ) -> None:
        self.cell, self.name, self.flops = cell, name, flops
        self._meter, self._seen = meter, set[tuple]()

    def __call__(self, *columns: Any) -> Any:
        shapes = tuple(tuple(column.shape) for column in columns)
        if shapes not in self._seen:
            self._seen.add(shapes)
            began = time.perf_counter()
            self.cell.compile(*columns)
            self._meter.log_compilation(self.name, shapes[0][-1], time.perf_counter() - began)
        if self.flops:
            rows, length = shapes[0]
            self._meter.flops += rows * self.flops(length)
        return self.cell(*columns)


class ThroughputMeter:
    """Counts work and its time; `log` gets a line for each compiled graph.

    `rate` measures the FLOP/s that matrix products reach on this machine (None: not measured).
    """

    def __init__(
        self, log: Callable[[str], None] = lambda text: None, rate: Callable[[], float] | None = None
    ) -> None:
        self._log, self.rate = log, rate
        self.examples = self.tokens = self.graphs = 0
        self.flops = self.seconds = self.waited = self.compiling = 0.0
        self._began = self._compiling_before = 0.0

    def compiled(self, cell: nn.Cell, name: str, flops: Callable[[int], float] | None = None) -> CompiledCell:
        """The CompiledCell of a cell."""
        return CompiledCell(cell, name, self, flops)

    def counted(self, function: Callable[..., Any], flops: Callable[[int], float]) -> Callable[..., Any]:
        """A function of [rows, length] columns that counts `flops(length)` for each row at each call."""

        def call(*columns: Any) -> Any:
            rows, length = columns[0].shape
            self.flops += rows * flops(length)
            return function(*columns)

        return call

    def log_compilation(self, name: str, length: int, seconds: float) -> None:
        """Count and log the compilation of the graph of a length."""
        self.graphs += 1
        self.compiling += seconds
        self._log(f"compiled the graph of length {length} in {seconds:.1f} s ({name})")

    def add(self, examples: int, tokens: int) -> None:
        """Count examples and their real tokens."""
        self.examples += int(examples)
        self.tokens += int(tokens)

    def begin(self) -> None:
        """Start timing a piece of work."""
        self._began, self._compiling_before = time.perf_counter(), self.compiling

    def end(self) -> None:
        """Count the seconds since `begin`, those of compiling excepted."""
        self.seconds += time.perf_counter() - self._began - (self.compiling - self._compiling_before)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Time the work inside the block, compilation excepted."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    def timed(self, predict: Callable[[Any], Any], loader: Any) -> Any:
        """`predict(loader)` as a piece of work over the examples and tokens of the loader's dataset."""
        with self.working():
            values = predict(loader)
        self.add(loader.dataset.rows, loader.dataset.lengths.sum())
        return values

    def lines(self, all_reduce: Callable[[list[float]], list[float]] | None = None) -> list[str]:
        """The last lines of a stage; none where no work was done.

        `all_reduce` sums numbers over all ranks; every rank has to call this then.
        """
        sums = [self.examples, self.tokens, self.flops, self.seconds, 1.0]
        examples, tokens, flops, seconds, ranks = all_reduce(sums) if all_reduce else sums
        lines = []
        if seconds:
            measured = self.rate() if self.rate and seconds / ranks >= MIN_SECONDS and flops else None
            rate = measured * ranks if measured else None
            lines = [throughput_line(examples, tokens, flops, seconds / ranks, rate)]
        if self.graphs:
            graphs = f"compiled {self.graphs} graph{'s' * (self.graphs > 1)} in {self.compiling:.1f} s"
            waited = f", waited for data {self.waited / self.seconds:.2%} of the time" if self.waited else ""
            lines.append(graphs + waited)
        return lines


def throughput_line(
    examples: float, tokens: float, flops: float, seconds: float, rate: float | None = None
) -> str:
    """The last line of every stage; `rate` in FLOP/s, None where it was not measured.

    Tokens and FLOPs are left out where there are none.
    """
    line = f"throughput: {examples / seconds:.1f} examples/s"
    if tokens:
        line += f", {tokens / seconds:.0f} real tokens/s"
    if not flops:
        return line
    line += f", {flops / seconds / GIGA:.1f} GFLOP/s"
    if rate is None:
        return f"{line} (matmul rate not measured)"
    share = flops / seconds / rate
    return f"{line} ({share:.0%} of this machine's matmul rate, measured {rate / GIGA:.1f} GFLOP/s)"


def forward_flops(
    config: BertConfig, length: float, layers: int | None = None, logits_only: bool = False
) -> float:
    """FLOPs of the matrix products of one row of `length` tokens, padding included.

    A multiply and an add are two. In each of the first `layers` layers (None: all of them, and the head):
    projections and feed-forward 2 S (4 H A + 2 H I), scores and context 4 S S A, A the width of all heads.
    With `logits_only` the last layer of a classifier has keys and values of all tokens, the rest for one.
    """
    hidden, inner, heads = config.hidden_size, config.intermediate_size, config.attention_size
    per_layer = 2 * length * (4 * hidden * heads + 2 * hidden * inner) + 4 * length * length * heads
    if layers is not None:
        return layers * per_layer
    flops = config.num_hidden_layers * per_layer + 2 * hidden * (hidden + config.num_labels)
    if logits_only and not config.by_token:
        flops -= (length - 1) * (2 * (2 * hidden * heads + 2 * hidden * inner) + 4 * length * heads)
    return flops


def masked_lm_flops(config: BertConfig, length: float, words: int, packed: bool) -> float:
    """FLOPs of one row with one masked token, for which the logits of `words` words are computed.

    The last layer is computed for that token alone: `packed` from its attention on, else after it.
    """
    hidden, inner, width = config.hidden_size, config.intermediate_size, config.attention_size
    layers = forward_flops(config, length, config.num_hidden_layers - 1)
    last = 2 * (4 * hidden * width + 2 * hidden * inner) + 4 * length * config.num_attention_heads * hidden
    if not packed:
        last = forward_flops(config, length, 1) - 2 * (length - 1) * (hidden * width + 2 * hidden * inner)
    return layers + last + 2 * hidden * (hidden + words)


def step_flops(network: DistillNetwork) -> Callable[[int], float]:
    """A function of the length -> FLOPs of one row in a training step of a DistillNetwork.

    The backward pass takes two products for each of the forward pass; a teacher has none.
    """
    features, layer_map = set(network.features), network.layer_map
    student = network.student.bert.config
    teacher = network.teacher.bert.config if network.has_teacher else None
    fitted = len(layer_map) * ("hidden" in features) + ("embedding" in features)
    # Of one matrix: each term has one, shared or its own.
    width = next((p.size for p in network.hidden_projection.get_parameters() if p.ndim == 2), 0)
    last = student.num_hidden_layers if "relation" in features else len(layer_map)
    student_layers = computed_layers(features, range(1, last + 1))
    teacher_layers, logits_only = computed_layers(features, layer_map), network.logits_only

    def flops(length: int) -> float:
        forward = forward_flops(student, length, student_layers, logits_only) + fitted * 2 * length * width
        return 3 * forward + (forward_flops(teacher, length, teacher_layers, logits_only) if teacher else 0)

    return flops


def computed_layers(features: Iterable[str], layers: Iterable[int]) -> int | None:
    """How many whole layers `features` over `layers` (from 1) need; None: all, and the head."""
    features = set(features)
    if {"logits", "labels"} & features:
        return None
    if "relation" in features:  # queries, keys and values are all that is computed of their layer
        return max(layers) - 1
    return max(layers) if {"hidden", "attention"} & features else 0
