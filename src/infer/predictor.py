"""Logits of a MindSpore network for every row of a dataset, in the order of the dataset."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from .logits import DataLoader, collect_logits

Predict = Callable[..., np.ndarray]


class LogitsCell(nn.Cell):
    """Returns only the logits of a classifier, so that its graph keeps neither hidden states nor scores.

    Construct: input_ids, token_type_ids, attention_mask [B, S] int32 -> logits. The network is called with
    `logits_only`, as model.bert.BertClassifier.
    """

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, input_ids: Tensor, token_type_ids: Tensor, attention_mask: Tensor) -> Tensor:
        # Unpacking the tuple into unused names makes the compiler warn about eliminated nodes.
        return self.network(input_ids, token_type_ids, attention_mask, True)[0]


@contextlib.contextmanager
def evaluation_mode(network: nn.Cell) -> Iterator[None]:
    """Disable dropout inside the block and restore the network's mode afterwards."""
    training = network.training
    network.set_train(False)
    try:
        yield
    finally:
        network.set_train(training)


def predict_logits(
    cell: LogitsCell, loader: DataLoader, graph: Callable[..., Tensor] | None = None
) -> np.ndarray:
    """Logits of every row by a LogitsCell, called as `graph` if given; see `collect_logits`."""
    with evaluation_mode(cell.network):
        return collect_logits(numpy_function(graph or cell), loader)


def predictor(
    network: nn.Cell, graph_of: Callable[[nn.Cell], Callable[..., Tensor]] = lambda cell: cell
) -> Predict:
    """The logits of a network as a function of one batch's NumPy arrays; disables dropout permanently.

    `graph_of(cell)` wraps the cell before it is called.
    """
    network.set_train(False)
    return numpy_function(graph_of(LogitsCell(network)))


def numpy_function(cell: Callable[..., Tensor]) -> Predict:
    """A cell of tensors as a function of NumPy arrays."""

    def call(*columns: np.ndarray) -> np.ndarray:
        return cell(*map(ms.Tensor, columns)).asnumpy()

    return call
