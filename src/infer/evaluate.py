"""What a network says of every row of a table, once each, in the table's order."""

import contextlib

import mindspore as ms
import numpy as np
from mindspore import nn


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


def predict_logits(cell, batches):
    """Logits of every row by a LogitsCell; see `collect_logits`."""
    with evaluation_mode(cell.network):
        return collect_logits(lambda *columns: cell(*map(ms.Tensor, columns)).asnumpy(), batches)


def collect_logits(predict, batches):
    """Logits of every row.

    Parameters: `predict` a function of input_ids, token_type_ids, attention_mask [B, S] that returns logits
    [B, C]; `batches` one unshuffled pass (data.dataset.Batches or SortedBatches), whose fill rows have
    weight 0 and are dropped here. Returns: float32 [rows, C] in the order of the table.
    """
    logits = None
    for batch in batches.epoch(0):
        values = predict(batch.input_ids, batch.token_type_ids, batch.attention_mask)
        if logits is None:
            logits = np.full((batches.table.rows, values.shape[1]), np.nan, np.float32)
        real = batch.weights > 0
        logits[batch.rows[real]] = values[real]
    return logits
