"""Quantized models: the model's layers with the operators of src/quant, and their ranges."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from mindspore import nn

from ...commands import command_line
from ...config.bert_config import BertConfig
from ...config.quantization import is_range
from ...errors import UserError
from ...model.layers import Dense, Embedding, EmbeddingLookup, Layers
from ...model.state_dict import named_parameters, to_hf_name
from ...quant.layers import QuantLookup, QuantMatMul
from .device import DeviceSetup

if TYPE_CHECKING:
    from .load import ModelFiles

Network = TypeVar("Network", bound=nn.Cell)


def layers_for(config: BertConfig, device: DeviceSetup) -> Layers:
    """The layers of a DeviceSetup, quantized as `config.quantization` says."""
    quantization = config.quantization
    changes: dict[str, Any] = {}
    if quantization is None:
        return device.layers
    if quantization.post_training:
        raise UserError(
            "quantization: dynamic and static are of exported ONNX files; remove them from config.json"
        )

    def matmul(config: BertConfig) -> QuantMatMul:
        return QuantMatMul(quantization, device.layers.matmul(config), device.quantizers)

    def lookup() -> QuantLookup:
        return QuantLookup(quantization, EmbeddingLookup(), device.quantizers)

    if quantization.weight_bits or quantization.activation_bits:
        changes["dense"] = changes["classifier"] = partial(Dense, operator=matmul)
    if quantization.embedding_bits:
        changes["embedding"] = partial(Embedding, operator=lookup)
    return dataclasses.replace(device.layers, **changes)


def build_network(cell: Callable[..., Network], config: BertConfig, device: DeviceSetup) -> Network:
    """A BertClassifier or BertEncoder in the layers of a DeviceSetup, quantized as its config says."""
    network = cell(config, layers_for(config, device))
    quantization = config.quantization
    if quantization is None:
        return network
    for place, layer in list(network.cells_and_names()):
        if quantization.quantizes(to_hf_name(f"{place}.weight").removesuffix(".weight")):
            continue
        if isinstance(layer, Dense):
            layer.product = device.layers.matmul(config)
        elif isinstance(layer, Embedding):
            layer.lookup = EmbeddingLookup()
    return network


def refuse_quantized(files: "ModelFiles") -> None:
    """Raise UserError for a quantized model where a float model is to be trained."""
    if files.config.quantization:
        raise UserError(
            f"{files.source} is quantized; continue its training with {command_line('q8bert_train')}, or "
            "pass the float model it was made from"
        )


def align_ranges(arrays: dict[str, np.ndarray], network: nn.Cell) -> dict[str, np.ndarray]:
    """`arrays` with exactly the ranges of `network`; a new range is zero, which means unset."""
    aligned = {name: array for name, array in arrays.items() if not is_range(name)}
    for name in filter(is_range, named_parameters(network)):
        aligned[name] = arrays.get(name, np.zeros(1, np.float32))
    return aligned


def unset_ranges(network: nn.Cell) -> list[str]:
    """The names of the ranges that are still zero."""
    ranges = {name: value for name, value in named_parameters(network).items() if is_range(name)}
    return [name for name, value in ranges.items() if not value.asnumpy()[0] > 0]


def check_ranges(network: nn.Cell, source: object) -> None:
    """Raise UserError if a range of a quantized network, loaded from `source`, is unset."""
    unset = unset_ranges(network)
    if unset:
        raise UserError(
            f"{source}: {len(unset)} ranges are not set ({unset[0]} is 0); set them by "
            f"{command_line('q8bert_train')} --epoch_num 0 with this model as --load_ckpt_path"
        )
