"""The tiny BERT of the stored reference, built and compiled once."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests import tiny
from tests.fixtures.make_tiny_bert import FILE


@pytest.fixture(scope="session")
def reference():
    """The stored arrays of make_tiny_bert.py."""
    return load_file(str(FILE))


@pytest.fixture(scope="session")
def batch(reference):
    """input_ids, token_type_ids, attention_mask of the stored reference."""
    return tuple(reference[name] for name in ("input_ids", "token_type_ids", "attention_mask"))


@pytest.fixture(scope="session")
def network(graph_mode, reference):
    """A BertClassifier with the stored weights, in evaluation mode."""
    from src.model.bert import BertClassifier
    from src.model.state_dict import load_strict

    network = BertClassifier(tiny.TINY)
    weights = {name.removeprefix("weight/"): a for name, a in reference.items() if name.startswith("weight/")}
    assert load_strict(network, weights, "the fixture") == []
    network.set_train(False)
    return network


@pytest.fixture(scope="session")
def outputs(network, batch):
    """The network's outputs on the batch, under the names of the reference."""
    return named_outputs(network, batch)


def named_outputs(network, batch):
    """{"hidden_states/m": [B, S, H], "attention_scores/m": [B, N, S, S], "logits": [B, C]} of a network."""
    import mindspore as ms

    logits, states, scores = network(*(ms.Tensor(column.astype(np.int32)) for column in batch))
    rows, length = batch[0].shape
    named = {
        f"hidden_states/{m}": state.asnumpy().reshape(rows, length, -1) for m, state in enumerate(states)
    }
    named.update({f"attention_scores/{m}": score.asnumpy() for m, score in enumerate(scores)})
    return {**named, "logits": logits.asnumpy()}
