"""Weights of a cell under Hugging Face's names, which every file uses."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from mindspore import Parameter, Tensor, nn

from ..errors import UserError, describe_mismatch

_TO_HF = (
    (r"\bencoder\.(\d+)\.", r"encoder.layer.\1."),
    (r"\battention\.(query|key|value|relative_keys|relative_values)\.", r"attention.self.\1."),
    (r"\battention_output\.", "attention.output.dense."),
    (r"\battention_norm\.", "attention.output.LayerNorm."),
    (r"(?<=\d\.)intermediate\.", "intermediate.dense."),
    (r"(?<=\d\.)output\.", "output.dense."),
    (r"(?<=\d\.)output_norm\.", "output.LayerNorm."),
    (r"\bembeddings\.norm\.", "embeddings.LayerNorm."),
    (r"\bpooler\.", "pooler.dense."),
    (r"^predictions\.transform\.", "cls.predictions.transform.dense."),
    (r"^predictions\.norm\.", "cls.predictions.transform.LayerNorm."),
    (r"^predictions\.", "cls.predictions."),
    # Parameters of a dense layer's operator (a quantizer's range) are named as the layer's own.
    (r"\.product\.", "."),
)


def to_hf_name(name: str) -> str:
    """`bert.encoder.0.attention_norm.weight` -> `bert.encoder.layer.0.attention.output.LayerNorm.weight`."""
    for pattern, replacement in _TO_HF:
        name = re.sub(pattern, replacement, name)
    return name


def named_parameters(cell: nn.Cell) -> dict[str, Parameter]:
    """{Hugging Face name: Parameter} of a cell, in the cell's order."""
    return {to_hf_name(name): parameter for name, parameter in cell.parameters_and_names()}


def weight_arrays(cell: nn.Cell) -> dict[str, np.ndarray]:
    """{Hugging Face name: NumPy copy} of a cell's parameters."""
    return {name: parameter.asnumpy().copy() for name, parameter in named_parameters(cell).items()}


def parameter_count(cell: nn.Cell) -> int:
    """Number of weights in a cell."""
    return sum(parameter.size for parameter in cell.get_parameters())


def load_strict(
    cell: nn.Cell, arrays: dict[str, np.ndarray], source: Path | str, optional: Iterable[str] = ()
) -> list[str]:
    """Load `arrays` {Hugging Face name: array} into `cell`; every name has to match.

    `optional` holds name prefixes (a new head) that may be absent from the file and then keep their initial
    values. If one weight of such a prefix is absent or has another shape, none of the prefix is loaded.
    Returns the sorted names that were not loaded. Raises UserError with `source` and the missing, unexpected
    (with the nearest) and misshapen names.
    """
    parameters, prefixes = named_parameters(cell), tuple(optional)
    kept = {name for prefix in prefixes for name in _unmatched(prefix, parameters, arrays)}
    expected = {name: parameter.shape for name, parameter in parameters.items() if name not in kept}
    offered = {
        name: array.shape
        for name, array in arrays.items()
        if name in expected or not name.startswith(prefixes)
    }
    mismatch = describe_mismatch(offered, expected)
    if mismatch:
        raise UserError(
            f"{source} does not fit the model, nothing was loaded: {mismatch}; check that weights "
            "and config.json belong together"
        )
    for name in expected:
        parameters[name].set_data(Tensor(arrays[name], parameters[name].dtype))
    return sorted(kept)


def _unmatched(prefix: str, parameters: dict[str, Parameter], arrays: dict[str, np.ndarray]) -> list[str]:
    names = [name for name in parameters if name.startswith(prefix)]
    match = all(name in arrays and arrays[name].shape == parameters[name].shape for name in names)
    return [] if match else names
