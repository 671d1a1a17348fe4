"""Weight names and position tables of the families in src/families.py, to BERT's and back."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from ..config.bert_config import BertConfig
from ..families import FAMILIES, Names

POSITIONS = "bert.embeddings.position_embeddings.weight"
BODY = ("embeddings.", "embeddings_project.", "encoder.", "pooler.")
LAYER = re.compile(r"(?P<layer>(?:bert\.encoder|encoder|transformer)\.layer\.\d+\.)(?P<rest>.+)")
PREFIXES = tuple(dict.fromkeys(f"{family.weight_prefix}." for family in FAMILIES.values()))
# Pretrained RoBERTas hold a pooler, which no head of transformers uses.
UNUSED = ("roberta.pooler.",)


def _reversed(pairs: Iterable[tuple[str, str]]) -> Names:
    """(own, BERT's) names without the family's prefix, the longest first."""
    own = {theirs.removeprefix(_prefix(theirs)): ours for ours, theirs in pairs}
    return tuple(sorted(own.items(), key=lambda pair: -len(pair[0])))


def _prefix(name: str) -> str:
    return next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")


TO_BERT = _reversed(pair for each in FAMILIES.values() for pair in (*each.names, *each.head_names))
LAYER_TO_BERT = _reversed(pair for each in FAMILIES.values() for pair in each.layer_names)


def weight_prefix(names: Iterable[str]) -> str:
    """The family's prefix in the weight names of a file (`roberta.`), empty without one."""
    return next(filter(None, map(_prefix, names)), "")


def bert_name(name: str) -> str | None:
    """BERT's name of a weight of any family, as saved with or without its head; None if it is not used.

    `distilbert.transformer.layer.0.ffn.lin1.bias` -> `bert.encoder.layer.0.intermediate.dense.bias`.
    """
    if name.startswith(UNUSED):
        return None
    own = name.removeprefix(_prefix(name))
    if in_layer := LAYER.fullmatch(own):
        body = _renamed(in_layer["layer"], TO_BERT) + _renamed(in_layer["rest"], LAYER_TO_BERT)
    else:
        body = _renamed(own, TO_BERT)
    if body.startswith(BODY):
        return f"bert.{body}"
    return name if body == own else body


def own_arrays(arrays: Mapping[str, np.ndarray], config: BertConfig) -> dict[str, np.ndarray]:
    """{BERT's name: array} under the names of the config's family; RoBERTa's unused positions are zero."""
    own = {_own_name(name, config): array for name, array in arrays.items()}
    if config.position_offset and POSITIONS in arrays:
        table = arrays[POSITIONS]
        unused = np.zeros((config.position_offset, table.shape[1]), table.dtype)
        own[_own_name(POSITIONS, config)] = np.concatenate([unused, table])
    return own


def used_positions(arrays: Mapping[str, np.ndarray], config: BertConfig) -> dict[str, np.ndarray]:
    """`arrays` under BERT's names without the position rows that the config's family never uses."""
    table = arrays.get(POSITIONS)
    if table is None or len(table) != config.max_position_embeddings + config.position_offset:
        return dict(arrays)
    return {**arrays, POSITIONS: np.ascontiguousarray(table[config.position_offset :])}


def _own_name(name: str, config: BertConfig) -> str:
    family = config.family
    head = family.head_names if config.num_labels and not config.by_token else ()
    pairs = (*head, *family.names, ("bert.", f"{family.weight_prefix}."))
    if in_layer := LAYER.fullmatch(name):
        return _renamed(in_layer["layer"], pairs) + _renamed(in_layer["rest"], family.layer_names)
    return _renamed(name, pairs)


def _renamed(name: str, pairs: Names) -> str:
    for old, new in pairs:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
