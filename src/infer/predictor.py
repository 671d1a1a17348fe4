"""What a network says of every row of a table, once each, in the table's order."""

import contextlib

import mindspore as ms
from mindspore import nn

from .logits import collect_logits


class LogitsCell(nn.Cell):
    """A classifier's logits alone, so that a graph keeps neither hidden states nor scores."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, input_ids, token_type_ids, attention_mask):
        # Unpacking the tuple into unused names makes the compiler warn of eliminated nodes.
        return self.network(input_ids, token_type_ids, attention_mask)[0]


@contextlib.contextmanager
def evaluation_mode(network):
    """No dropout inside the block; the network's mode before it comes back after it."""
    before = network.training
    network.set_train(False)
    try:
        yield
    finally:
        network.set_train(before)


def predict_logits(cell, batches, graph=None):
    """Logits of every row by a LogitsCell, called as `graph` where that is given; see `collect_logits`."""
    with evaluation_mode(cell.network):
        return collect_logits(on_arrays(graph or cell), batches)


def predictor(network, graph_of=lambda cell: cell):
    """The network's logits as a function of one batch's NumPy arrays; no dropout from now on.

    `graph_of(cell)` is what calls the cell.
    """
    network.set_train(False)
    return on_arrays(graph_of(LogitsCell(network)))


def on_arrays(cell):
    """A cell of tensors as a function of NumPy arrays."""

    def call(*columns):
        return cell(*map(ms.Tensor, columns)).asnumpy()

    return call
