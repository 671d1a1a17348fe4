"""Removal of layers, attention heads, feed-forward neurons and tokens from the weights of a BERT.

What is removed is left out of the arrays, so the model computes less; what is kept stays in its order. Shape
letters: H hidden, N heads, D head width, I feed-forward width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..config.bert_config import BertConfig

Arrays = Mapping[str, np.ndarray]
LAYER = "bert.encoder.layer."
WORDS = "bert.embeddings.word_embeddings.weight"
# Of an encoder layer: weights with a row for each unit, and the dense layer with a column for each.
HEAD_ROWS = ("attention.self.query", "attention.self.key", "attention.self.value")
HEAD_COLUMNS = "attention.output.dense"
NEURON_ROWS, NEURON_COLUMNS = ("intermediate.dense",), "output.dense"


def keep_layers(
    arrays: Arrays, config: BertConfig, kept: Sequence[int]
) -> tuple[dict[str, np.ndarray], BertConfig]:
    """The model with the layers `kept` alone (from 0, ascending)."""
    pruned = {}
    for name, array in arrays.items():
        number, _, rest = name.removeprefix(LAYER).partition(".")
        if not name.startswith(LAYER):
            pruned[name] = array
        elif int(number) in kept:
            pruned[f"{LAYER}{kept.index(int(number))}.{rest}"] = array
    return pruned, config.replace(num_hidden_layers=len(kept))


def keep_heads(
    arrays: Arrays, config: BertConfig, kept: np.ndarray
) -> tuple[dict[str, np.ndarray], BertConfig]:
    """The model with the heads `kept` [layers, n] of each layer: query, key and value become [n*D, H]."""
    size = config.head_size
    rows = (kept[:, :, None] * size + np.arange(size)).reshape(len(kept), -1)
    heads = kept.shape[1]
    # Without the field the size of a head would be H / n.
    own_size = size if heads * size != config.hidden_size else 0
    changed = config.replace(num_attention_heads=heads, attention_head_size=own_size)
    return _keep_units(arrays, rows, HEAD_ROWS, HEAD_COLUMNS), changed


def keep_neurons(
    arrays: Arrays, config: BertConfig, kept: np.ndarray
) -> tuple[dict[str, np.ndarray], BertConfig]:
    """The model with the feed-forward neurons `kept` [layers, i] of each layer."""
    pruned = _keep_units(arrays, kept, NEURON_ROWS, NEURON_COLUMNS)
    return pruned, config.replace(intermediate_size=kept.shape[1])


def keep_tokens(
    arrays: Arrays, config: BertConfig, ids: np.ndarray
) -> tuple[dict[str, np.ndarray], BertConfig]:
    """The model with the word embeddings of `ids` [v] alone: the token ids[i] becomes i."""
    pad = np.flatnonzero(ids == config.pad_token_id)
    changed = config.replace(vocab_size=len(ids), pad_token_id=int(pad[0]) if len(pad) else 0)
    return {**arrays, WORDS: np.ascontiguousarray(arrays[WORDS][ids])}, changed


def _keep_units(
    arrays: Arrays, kept: np.ndarray, row_layers: Sequence[str], column_layer: str
) -> dict[str, np.ndarray]:
    pruned = dict(arrays)
    for layer, units in enumerate(kept):
        for name in row_layers:
            for part in ("weight", "bias"):
                full = f"{LAYER}{layer}.{name}.{part}"
                pruned[full] = np.ascontiguousarray(arrays[full][units])
        full = f"{LAYER}{layer}.{column_layer}.weight"
        pruned[full] = np.ascontiguousarray(arrays[full][:, units])
    return pruned
