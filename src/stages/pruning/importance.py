"""How much each attention head, feed-forward neuron and layer of a classifier matters on records.

Shape letters: L layers, N heads, I feed-forward width, D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn

from ...data.dataloader import BucketDataLoader
from ...distill.network import DistillNetwork
from ...distill.objective import label_terms
from ...infer.predictor import LogitsCell, predict_logits
from ...model.bert import BertClassifier
from ...model.state_dict import load_strict, named_parameters
from ...tasks import TaskSpec
from ...weights.pruning import HEAD_COLUMNS, LAYER, NEURON_COLUMNS, keep_layers
from ..model import load
from ..model.device import DeviceSetup


class Importance(NamedTuple):
    """Of each head [L, N] and of each feed-forward neuron [L, I]: mean |d loss / d mask| over batches."""

    heads: np.ndarray
    neurons: np.ndarray


class MaskGradients(nn.Cell):
    """The gradients of a loss by masks of ones on the inputs of dense layers, without the masks.

    A mask m on the inputs of a product W diag(m) x has, at m = 1, the gradient sum over rows of W * dW.
    Construct: batch of a DistillNetwork -> a vector [I] for each of `weights` [O, I].
    """

    def __init__(self, network: DistillNetwork, weights: list[Parameter]) -> None:
        super().__init__()
        self.weights = ParameterTuple(weights)
        self.value_and_grad = ms.value_and_grad(network, None, self.weights, has_aux=True)

    def construct(self, *batch: Tensor) -> tuple[Tensor, ...]:
        _, gradients = self.value_and_grad(*batch)
        sums: tuple[Tensor, ...] = ()
        for i in range(len(self.weights)):
            sums = sums + ((self.weights[i] * gradients[i]).sum(0),)
        return sums


def measure_importance(
    files: load.ModelFiles, task: TaskSpec, device: DeviceSetup, loader: BucketDataLoader
) -> Importance:
    """The Importance of the heads and neurons of a model, for the loss on the labels of a loader's rows.

    As in Michel et al. 2019 (equation 3; neurons: Hou et al. 2020, section 2.1) the magnitude is taken of the
    gradient of each batch, since gradients of opposite signs do not make a unit less important. Values of
    different layers are not comparable.
    """
    network, config = load.load_classifier(files, task, device, lambda text: None)
    parameters = named_parameters(network)
    layers = range(config.num_hidden_layers)
    names = [f"{LAYER}{layer}.{dense}.weight" for dense in (HEAD_COLUMNS, NEURON_COLUMNS) for layer in layers]
    weights = [parameters[name] for name in names]
    cell = MaskGradients(DistillNetwork(network, label_terms(task.output_mode)), weights)
    cell.set_train(False)
    sums = [np.zeros(weight.shape[1]) for weight in weights]
    masks = [config.head_size] * len(layers) + [1] * len(layers)
    values = [np.zeros(len(total) // width) for total, width in zip(sums, masks, strict=True)]
    batches = 0
    for batch in loader.epoch(0):
        for i, gradient in enumerate(cell(*map(ms.Tensor, batch[:5]))):
            values[i] += np.abs(gradient.asnumpy().astype(np.float64).reshape(-1, masks[i]).sum(1))
        batches += 1
    means = [value / batches for value in values]
    return Importance(np.stack(means[: len(layers)]), np.stack(means[len(layers) :]))


def most_important(importance: np.ndarray, count: int) -> np.ndarray:
    """Indices of the `count` most important units of each layer, ascending: [L, units] -> [L, count]."""
    order = np.argsort(-importance, axis=1, kind="stable")
    return np.sort(order[:, :count], axis=1)


def least_harmful_layers(
    files: load.ModelFiles,
    count: int,
    device: DeviceSetup,
    loader: BucketDataLoader,
    log: Callable[[str], None],
) -> tuple[int, ...]:
    """The `count` layers to keep, found by removing one layer after the other, and logged.

    Each time it is the layer without which the logits of a loader's rows have the smallest mean squared
    difference to those of the complete model.
    """
    kept = tuple(range(files.config.num_hidden_layers))
    complete = _Depth(files, len(kept), device, loader)(kept) if count < len(kept) else None
    while len(kept) > count:
        depth = _Depth(files, len(kept) - 1, device, loader)
        harm = {}
        for layer in kept:
            logits = depth(tuple(other for other in kept if other != layer))
            harm[layer] = float(np.square(logits - complete).mean())
        least = min(harm, key=harm.__getitem__)
        kept = tuple(layer for layer in kept if layer != least)
        listed = ", ".join(f"{layer}: {value:.4f}" for layer, value in harm.items())
        log(f"removed layer {least}; mean squared difference of the logits without each layer: {listed}")
    return kept


class _Depth:
    """Logits of a model cut to `depth` layers; one graph serves every choice of layers."""

    def __init__(
        self, files: load.ModelFiles, depth: int, device: DeviceSetup, loader: BucketDataLoader
    ) -> None:
        self.files, self.loader = files, loader
        config = files.config.replace(
            num_hidden_layers=depth, dtype=device.dtype, compute_type=device.compute_type
        )
        self.network = BertClassifier(config, device.layers)
        self.cell = LogitsCell(self.network)

    def __call__(self, kept: tuple[int, ...]) -> np.ndarray:
        arrays, _ = keep_layers(self.files.arrays, self.files.config, kept)
        load_strict(self.network, arrays, self.files.source)
        return predict_logits(self.cell, self.loader)
