"""Quantized models put together: the model's layers with the operators of src/quant, and their ranges."""

import dataclasses
from functools import partial

import numpy as np

from ...config.quantization import is_range
from ...errors import UserError
from ...model.layers import Dense, Embedding, EmbeddingLookup, MatMul
from ...model.state_dict import named_parameters
from ...quant.layers import QuantLookup, QuantProduct


def layers_for(config, device):
    """The layers of an DeviceSetup, quantized as the BertConfig says."""
    quantization, changes = config.quantization, {}
    if quantization is None:
        return device.layers

    def product(config):
        return QuantProduct(quantization, MatMul(config), device.quantizers)

    def lookup():
        return QuantLookup(quantization, EmbeddingLookup(), device.quantizers)

    if quantization.weight_bits or quantization.activation_bits:
        changes["dense"] = partial(Dense, operator=product)
        if quantization.quantize_classifier:
            changes["classifier"] = changes["dense"]
    if quantization.embedding_bits:
        changes["embedding"] = partial(Embedding, operator=lookup)
    return dataclasses.replace(device.layers, **changes)


def refuse_quantized(files):
    """Raise UserError for a quantized model where one in float is to be trained."""
    if files.config.quantization:
        raise UserError(
            f"{files.source} is quantized; train it on with run_q8bert_train.py, or give the model in float "
            "that it was made from"
        )


def align_ranges(arrays, network):
    """`arrays` with exactly the ranges that `network` has: zero, which is not set yet, where one is new."""
    fitted = {name: array for name, array in arrays.items() if not is_range(name)}
    for name in filter(is_range, named_parameters(network)):
        fitted[name] = arrays.get(name, np.zeros(1, np.float32))
    return fitted


def unset_ranges(network):
    """The names of the ranges that are zero still."""
    ranges = {name: value for name, value in named_parameters(network).items() if is_range(name)}
    return [name for name, value in ranges.items() if not value.asnumpy()[0] > 0]


def check_ranges(network, source):
    """Raise UserError when a quantized network of the file `source` cannot be computed with."""
    unset = unset_ranges(network)
    if unset:
        raise UserError(
            f"{source}: {len(unset)} ranges are not set ({unset[0]} is 0); set them by run_q8bert_train.py "
            "--epoch_num 0 with this model as --load_ckpt_path"
        )
