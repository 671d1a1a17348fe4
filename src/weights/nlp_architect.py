"""State dicts of nlp-architect's Q8BERT (IntelLabs/nlp-architect, nn/torch/quantization.py).

Its layers quantize as this project's do (Zafrir et al. 2019): weights at their own maximum, inputs at
`input_thresh`, the moving average of max|x|, 8 bits by default. A training file holds float weights, the
8-bit file `quant_pytorch_model.bin` integers q and the scales s of x = q / s.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..config.quantization import BITS, RANGE, Quantization

INPUT, OUTPUT = "input_thresh", "output_thresh"
MARKS = (INPUT, "_step", "quantized_weight")
# Neither weights nor ranges: counters, and the ranges and scales of outputs and biases.
DROPPED = ("_step", OUTPUT, "_weight_scale", "bias_scale", "quantized_weight", "_quantized_bias")
# Layers in config.json -> their bit widths, 8 where not given.
DENSE_GROUPS = (
    *("attention_query", "attention_key", "attention_value", "attention_output"),
    *("ffn_intermediate", "ffn_output", "pooler", "head"),
)
EMBEDDING_GROUPS = ("word_embeddings", "position_embeddings", "token_type_embeddings")


class Q8Bert(NamedTuple):
    """`arrays` {name: float array}, with ranges as `input_threshold` unless `quantization` is None; `ignored`
    names of the file; `note` a sentence to log about what is not taken over."""

    arrays: dict[str, np.ndarray]
    ignored: list[str]
    quantization: Quantization | None
    note: str


def has_nlp_architect_names(names: Iterable[str]) -> bool:
    """Whether these are the names of nlp-architect's quantized layers."""
    return any(name.rpartition(".")[2] in MARKS for name in names)


def read_q8bert(raw: Mapping[str, np.ndarray], config: Mapping[str, Any] | None) -> Q8Bert:
    """The weights, ranges and quantization of {name: array} of a state dict; `config` is its config.json.

    The ranges are taken over where every dense layer has one above 0 and the bit widths are uniform:
    otherwise the model is in float. Quantized outputs (`output_thresh`) have no counterpart.
    """
    arrays = {name: array for name, array in raw.items() if name.rpartition(".")[2] not in (*DROPPED, INPUT)}
    arrays.update(_dequantized(raw))
    ranges = {
        f"{name.removesuffix(INPUT)}{RANGE}": array.reshape(1).astype(np.float32)
        for name, array in raw.items()
        if name.endswith(f".{INPUT}")
    }
    quantization, reason = _quantization(arrays, ranges, raw, config or {})
    outputs = sum(name.endswith(f".{OUTPUT}") for name in raw)
    if quantization is None:
        note = f"the model is read in float and its {len(ranges)} input ranges are dropped: {reason}"
        ranges = {}
    else:
        note = f"nlp-architect's Q8BERT with {len(ranges)} input ranges"
        if outputs:
            note += f"; the outputs of {outputs} layers, which it quantizes too, stay in float"
    ignored = [name for name in raw if name not in arrays and name.rpartition(".")[2] != INPUT]
    return Q8Bert({**arrays, **ranges}, ignored, quantization, note)


def _dequantized(raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Float weights and biases of the 8-bit file."""
    arrays = {}
    for integers, scale, name in (
        ("quantized_weight", "_weight_scale", "weight"),
        ("_quantized_bias", "bias_scale", "bias"),
    ):
        for key, array in raw.items():
            layer = key.removesuffix(integers)
            if key.endswith(f".{integers}") and f"{layer}{scale}" in raw and f"{layer}{name}" not in raw:
                arrays[f"{layer}{name}"] = (array / raw[f"{layer}{scale}"]).astype(np.float32)
    return arrays


def _quantization(
    arrays: Mapping[str, np.ndarray],
    ranges: Mapping[str, np.ndarray],
    raw: Mapping[str, np.ndarray],
    config: Mapping[str, Any],
) -> tuple[Quantization | None, str]:
    """(the Quantization, "") or (None, why the ranges cannot be used)."""
    dense = [
        name.removesuffix("weight")
        for name, array in arrays.items()
        if name.endswith(".weight")
        and array.ndim == 2
        and not re.search(r"\b(?:embeddings|cls|fit_denses?)\.", name)
    ]
    unset = [name for name in dense if not ranges.get(f"{name}{RANGE}", np.zeros(1))[0] > 0]
    classifier = [name for name in unset if name.endswith("classifier.") and f"{name}{INPUT}" not in raw]
    if len(unset) > len(classifier):
        return None, f"{unset[0].rstrip('.')} has none (its mode is not ema)"
    bits = {kind: _bits(config, DENSE_GROUPS, kind) for kind in ("weight_bits", "activation_bits")}
    embedded = [name for name in raw if re.search(r"_embeddings\.(?:_step|quantized_weight)$", name)]
    bits["embedding_bits"] = _bits(config, EMBEDDING_GROUPS, "weight_bits") if embedded else {0}
    for kind, found in bits.items():
        if len(found) > 1 or not BITS[1](min(found)):
            return None, f"its {kind} {', '.join(map(str, sorted(found)))} are not one width from 2 to 8"
    weight, activation, embedding = (found.pop() for found in bits.values())
    return Quantization(weight, embedding, activation, quantize_classifier=not classifier), ""


def _bits(config: Mapping[str, Any], groups: Iterable[str], kind: str) -> set[int]:
    described = [config[group] for group in groups if isinstance(config.get(group), dict)]
    return {group.get(kind, 8) for group in described if type(group.get(kind, 8)) is int} or {8}
