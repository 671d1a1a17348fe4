"""What a stage gets done in a second, its compilation apart, and what this machine's products could do.

S length, H hidden, I inner size of the feed-forward layers, L layers, C labels.
"""

import contextlib
import time

LONG_ENOUGH = 30.0  # seconds of work from which on a second more for the machine's own rate is no matter
GIGA = 1e9


class CompiledCell:
    """A cell as a function of tensors: each new shape of them is compiled apart from its first run.

    `cell` is the cell itself, `name` what the log calls its graphs. `operations(length)` (where it is given)
    are counted for each row of the first tensor, [rows, length].
    """

    def __init__(self, cell, name, meter, operations=None):
        self.cell, self.name, self._meter, self._seen = cell, name, meter, set()
        self._run = meter.counted(cell, operations) if operations else cell

    def __call__(self, *columns):
        shapes = tuple(tuple(column.shape) for column in columns)
        if shapes not in self._seen:
            self._seen.add(shapes)
            began = time.perf_counter()
            self.cell.compile(*columns)
            self._meter.compiled(self.name, shapes[0][-1], time.perf_counter() - began)
        return self._run(*columns)


class ThroughputMeter:
    """Counts what is done and how long it takes; `say` hears of each graph that was compiled.

    `rate` gives the operations a second that this machine's matrix products reach (None: not asked for).
    """

    def __init__(self, log=lambda text: None, rate=None):
        self._say, self.rate = log, rate
        self.examples = self.tokens = self.graphs = 0
        self.operations = self.seconds = self.waited = self.compiling = 0.0

    def graph(self, cell, name, operations=None):
        """The CompiledCell of a cell."""
        return CompiledCell(cell, name, self, operations)

    def counted(self, function, operations):
        """A function of [rows, length] columns; `operations(length)` of each row are counted at each call."""

        def call(*columns):
            rows, length = columns[0].shape
            self.operations += rows * operations(length)
            return function(*columns)

        return call

    def compiled(self, name, length, seconds):
        """Note that the graph of a length took so long to compile."""
        self.graphs += 1
        self.compiling += seconds
        self._say(f"compiled the graph of length {length} in {seconds:.1f} s ({name})")

    def add(self, examples, tokens):
        """Count examples and the real tokens in them."""
        self.examples += int(examples)
        self.tokens += int(tokens)

    @contextlib.contextmanager
    def working(self):
        """The seconds inside are those of the work, but for those in which something is compiled."""
        began, before = time.perf_counter(), self.compiling
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - began - (self.compiling - before)

    def answered(self, logits, batches):
        """`logits(batches)` as a piece of work; examples and tokens are those of the table."""
        with self.working():
            values = logits(batches)
        self.add(batches.table.rows, batches.table.lengths.sum())
        return values

    def lines(self, over_ranks=None):
        """The last lines of a stage; none where nothing was done.

        `over_ranks` makes numbers of all ranks' sums of them. Every rank has to ask.
        """
        done = [self.examples, self.tokens, self.operations, self.seconds]
        size = 1
        if over_ranks:
            *done, size = over_ranks([*done, 1.0])
        examples, tokens, operations, seconds = done
        lines = []
        if seconds:
            rate = self.rate() if self.rate and seconds / size >= LONG_ENOUGH and operations else None
            lines = [throughput_line(examples, tokens, operations, seconds / size, rate and rate * size)]
        if self.graphs:
            graphs = f"compiled {self.graphs} graph{'s' * (self.graphs > 1)} in {self.compiling:.1f} s"
            waited = f", waited for data {self.waited / self.seconds:.2%} of the time" if self.waited else ""
            lines.append(graphs + waited)
        return lines


def throughput_line(examples, tokens, operations, seconds, rate=None):
    """The line that ends every stage; `rate` in operations a second, None where it was not measured.

    Where there are no tokens or operations nothing is said of them.
    """
    line = f"throughput: {examples / seconds:.1f} examples/s"
    if tokens:
        line += f", {tokens / seconds:.0f} real tokens/s"
    if not operations:
        return line
    line += f", {operations / seconds / GIGA:.1f} GFLOP/s"
    if rate is None:
        return f"{line} (matmul rate not measured)"
    share = operations / seconds / rate
    return f"{line} ({share:.0%} of this machine's matmul rate, measured {rate / GIGA:.1f} GFLOP/s)"


def forward_flops(config, length, layers=None):
    """Floating-point operations of the matrix products of one row of `length` tokens, padding included.

    A multiply and an add are two. In each of the first `layers` layers (None: all of them, and the head):
    projections and feed-forward 2 S (4 H H + 2 H I), scores and context 4 S S H.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    a_layer = 2 * length * (4 * hidden * hidden + 2 * hidden * inner) + 4 * length * length * hidden
    if layers is not None:
        return layers * a_layer
    return config.num_hidden_layers * a_layer + 2 * hidden * (hidden + config.num_labels)


def masked_lm_flops(config, length):
    """Operations of one row of which a masked language model is asked for one word.

    The last layer is computed for that word alone, but for its projections and scores.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    head = 2 * hidden * (hidden + config.vocab_size)
    spared = 2 * (length - 1) * (hidden * hidden + 2 * hidden * inner)
    return forward_flops(config, length, config.num_hidden_layers) - spared + head


def step_flops(network):
    """Function of the length -> operations of one row in a training step of a DistillNetwork.

    The backward pass takes two products for each of the forward pass; a teacher has none.
    """
    features, layer_map = set(network.features), network.layer_map
    student, teacher = (
        network.student.bert.config,
        network.teacher.bert.config if network.has_teacher else None,
    )
    fitted = len(layer_map) * ("hidden" in features) + ("embedding" in features)
    width = network.hidden_projection.weight.size if network.projected else 0

    own_depth, depth = (depth_of(features, layers) for layers in (range(1, len(layer_map) + 1), layer_map))

    def operations(length):
        own = forward_flops(student, length, own_depth) + fitted * 2 * length * width
        return 3 * own + (forward_flops(teacher, length, depth) if teacher else 0)

    return operations


def depth_of(features, layers):
    """How many layers have to be computed for `features` over `layers`, from 1; None: all, and the head."""
    if {"logits", "labels"} & set(features):
        return None
    return max(layers) if {"hidden", "attention"} & set(features) else 0
