"""Parameter names: ours inside the cells, Hugging Face's in every file."""

import re

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
    # What the operator of a dense layer keeps belongs to the layer.
    (r"\.product\.", "."),
)


def to_hf_name(name):
    """`bert.encoder.0.attention_norm.weight` -> `bert.encoder.layer.0.attention.output.LayerNorm.weight`."""
    for pattern, replacement in _TO_HF:
        name = re.sub(pattern, replacement, name)
    return name


def named_parameters(cell):
    """{Hugging Face name: Parameter} of a cell, in the cell's order."""
    return {to_hf_name(name): parameter for name, parameter in cell.parameters_and_names()}


def weight_arrays(cell):
    """{Hugging Face name: NumPy copy} of a cell's parameters."""
    return {name: parameter.asnumpy().copy() for name, parameter in named_parameters(cell).items()}


def parameter_count(cell):
    """Number of weights in a cell."""
    return sum(parameter.size for parameter in cell.get_parameters())
