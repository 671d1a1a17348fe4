"""Static post-training quantization: the numbers of an int8 file, from a float model and some batches.

Three passes over the batches in float32 measure the inputs of dense layers: the range of each channel, their
distribution, and their moments after rounding. Layers that share an input share what is found for it.
Shape letters: B batch, S length, T tokens, H input width, O output width.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from ...config.bert_config import BertConfig
from ...config.quantization import (
    CORRECTION,
    FLOAT_CHANNELS,
    INTEGERS,
    SCALE,
    SMOOTHING,
    ZERO_POINT,
    Quantization,
    qmax,
)
from ...errors import UserError
from .bert import Arrays, FloatLayers, Graph, bert_model
from .int8 import quantizable_weight, quantize
from .rounding import (
    Histogram,
    gptq,
    input_parameters,
    outlier_channels,
    quantize_input,
    smoothing_factors,
)
from .session import input_feed, open_session

CONTEXT = ".attention.output.dense"  # the layer whose input is the context

Batches = Sequence[Sequence[np.ndarray]]


@dataclasses.dataclass(frozen=True)
class CalibrationOptions:
    """How static quantization chooses its numbers.

    `method` max, percentile or mse chooses the ranges of inputs, with `percentile` of their values inside;
    `smooth` is SmoothQuant's alpha, 0 for none: weights with a scale per channel bear more than the paper's
    0.5; the most of a layer's channels that stay in float32 where they are outliers is `float_channels`;
    `rounding` gptq or nearest is that of the weights.
    """

    method: str = "max"
    percentile: float = 99.999
    smooth: float = 0.8
    float_channels: int = 4
    rounding: str = "gptq"


@dataclasses.dataclass
class LayerInput:
    """The input of the dense layers `names`, and what static quantization does to it.

    low, high   [H]: the extremes of each channel, before the division by `smoothing`
    smoothing   [H]: its divisor per channel
    channels    [k]: the channels that stay in float32
    scale, zero_point   scalars
    """

    names: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    smoothing: np.ndarray
    channels: np.ndarray
    scale: np.ndarray = dataclasses.field(default_factory=lambda: np.ones((), np.float32))
    zero_point: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((), np.uint8))

    @property
    def magnitudes(self) -> np.ndarray:
        """[H]: max|x| of each channel."""
        return np.maximum(-self.low, self.high)

    def smoothed(self, x: np.ndarray) -> np.ndarray:
        """x [T, H] divided by `smoothing`, with zeros for the channels in float32."""
        x = x * (np.float32(1) / self.smoothing)
        x[:, self.channels] = 0.0
        return x

    def arrays(self) -> dict[str, np.ndarray]:
        """{name: array} of the layers' parameters."""
        found = {}
        for name in self.names:
            found.update({f"{name}.{SCALE}": self.scale, f"{name}.{ZERO_POINT}": self.zero_point})
            if (self.smoothing != 1).any():
                found[f"{name}.{SMOOTHING}"] = self.smoothing
            if self.channels.size:
                found[f"{name}.{FLOAT_CHANNELS}"] = self.channels
        return found


class InputLayers(FloatLayers):
    """FloatLayers that also output the input of each dense layer, once where layers share it.

    `layers_of` {output: names of its layers} is filled in.
    """

    def __init__(self, graph: Graph, arrays: Arrays, layers_of: dict[str, tuple[str, ...]]) -> None:
        super().__init__(graph, arrays)
        self.layers_of = layers_of

    def dense(self, x: str, *names: str) -> list[str]:
        output = self.graph.add("Identity", x, name=f"{names[0]}.input")
        self.graph.output(output, [f"{output}.{axis}" for axis in range(3)])
        self.layers_of[output] = names
        return super().dense(x, *names)


class InputRecorder:
    """The inputs of the dense layers of a float model. Iterate over `inputs(batches)`."""

    def __init__(self, config: BertConfig, arrays: Arrays) -> None:
        self.layers_of: dict[str, tuple[str, ...]] = {}
        model = bert_model(config, arrays, lambda graph, a: InputLayers(graph, a, self.layers_of))
        self.session = open_session(model.SerializeToString())

    def inputs(self, batches: Batches) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
        """(names of the layers, their input [T, H]) for each batch in turn."""
        for columns in batches:
            values = self.session.run(list(self.layers_of), input_feed(columns))
            for names, value in zip(self.layers_of.values(), values, strict=True):
                yield names, value.reshape(-1, value.shape[-1])


def calibrate_static(
    config: BertConfig,
    arrays: Arrays,
    batches: Batches,
    quantization: Quantization,
    options: CalibrationOptions = CalibrationOptions(),
) -> dict[str, np.ndarray]:
    """`arrays` with the parameters of static quantization, which Int8Layers need of a float model.

    Parameters: `config` and `arrays` as in `bert_graph`; `batches` of input_ids, token_type_ids,
    attention_mask [B, S] without padding, since padding would count like real tokens. The float weights
    returned are another form of the same model, see `fold_smoothing`. Raises UserError for inputs that are
    not finite.
    """
    recorder = InputRecorder(config, arrays)
    inputs = _channel_ranges(recorder, batches)
    arrays = dict(arrays)
    if options.smooth:
        for layer in range(config.num_hidden_layers):
            fold_smoothing(f"bert.encoder.layer.{layer}.attention", arrays, inputs, options.smooth)
        recorder = InputRecorder(config, arrays)
    for each in inputs.values():
        _divide(each, arrays, options)
    _set_ranges(recorder, batches, inputs, options)
    for each in inputs.values():
        arrays.update(each.arrays())
    arrays.update(_rounded_weights(recorder, batches, inputs, arrays, quantization, options))
    return arrays


def _channel_ranges(recorder: InputRecorder, batches: Batches) -> dict[tuple[str, ...], LayerInput]:
    found: dict[tuple[str, ...], LayerInput] = {}
    for names, x in recorder.inputs(batches):
        low, high = x.min(axis=0), x.max(axis=0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise UserError(
                f"inputs of {names[0]} are NaN or infinite: the weights are not finite or activations "
                "overflow; use an earlier checkpoint"
            )
        if names in found:
            each = found[names]
            each.low, each.high = np.minimum(each.low, low), np.maximum(each.high, high)
        else:
            ones, none = np.ones(x.shape[1], np.float32), np.zeros(0, np.int64)
            found[names] = LayerInput(names, low, high, ones, none)
    return found


def fold_smoothing(
    prefix: str, arrays: dict[str, np.ndarray], inputs: dict[tuple[str, ...], LayerInput], alpha: float
) -> None:
    """Smooth the input of the attention output `prefix`.output.dense at no cost.

    The context is a weighted mean of values, so its divisor goes into the weights and biases of the value.
    """
    name, value = f"{prefix}.output.dense", f"{prefix}.self.value"
    each = inputs[(name,)]
    factors = smoothing_factors(each.magnitudes, [arrays[f"{name}.weight"]], alpha)
    arrays[f"{name}.weight"] = arrays[f"{name}.weight"] * factors
    arrays[f"{value}.weight"] = arrays[f"{value}.weight"] / factors[:, None]
    arrays[f"{value}.bias"] = arrays[f"{value}.bias"] / factors
    each.low, each.high = each.low / factors, each.high / factors


def _divide(each: LayerInput, arrays: Arrays, options: CalibrationOptions) -> None:
    """Set the divisor of an input, or the channels that stay in float32.

    The outputs of GELU are more channels, of which few are large: these stay in float32. Other inputs are
    divided, that of the attention output already in `fold_smoothing`.
    """
    name = each.names[0]
    if not options.smooth or (name.endswith(".output.dense") and not name.endswith(CONTEXT)):
        each.channels = outlier_channels(each.magnitudes, options.float_channels)
    elif not name.endswith(CONTEXT):
        weights = [arrays[f"{name}.weight"] for name in each.names]
        each.smoothing = smoothing_factors(each.magnitudes, weights, options.smooth)


def _set_ranges(
    recorder: InputRecorder,
    batches: Batches,
    inputs: dict[tuple[str, ...], LayerInput],
    options: CalibrationOptions,
) -> None:
    """Set scale and zero point of each input."""
    histograms = {}
    for names, each in inputs.items():
        ends = each.smoothed(np.stack([each.low, each.high]))
        histograms[names] = Histogram(ends.min(), ends.max())
    if options.method != "max":
        for names, x in recorder.inputs(batches):
            histograms[names].add(inputs[names].smoothed(x))
    for names, each in inputs.items():
        low, high = histograms[names].range(options.method, options.percentile)
        each.scale, each.zero_point = input_parameters(low, high)


def _rounded_weights(
    recorder: InputRecorder,
    batches: Batches,
    inputs: dict[tuple[str, ...], LayerInput],
    arrays: Arrays,
    quantization: Quantization,
    options: CalibrationOptions,
) -> dict[str, np.ndarray]:
    """The integers of each weight, and the correction of each bias (Nagel et al. 2019, section 4.2).

    The correction is the mean error of the product over the tokens, E[W_q x_q] - E[W x].
    """
    means: dict[tuple[str, ...], np.ndarray] = {}
    products: dict[tuple[str, ...], np.ndarray] = {}
    tokens: dict[tuple[str, ...], int] = {}
    for names, x in recorder.inputs(batches):
        each = inputs[names]
        smoothed = each.smoothed(x)
        rounded = quantize_input(smoothed, each.scale, each.zero_point)
        sums = np.stack([smoothed.sum(axis=0, dtype=float), rounded.sum(axis=0, dtype=float)])
        means[names] = means.get(names, 0.0) + sums
        tokens[names] = tokens.get(names, 0) + len(x)
        if options.rounding == "gptq":
            products[names] = products.get(names, np.float32(0)) + rounded.T @ rounded
    found: dict[str, np.ndarray] = {}
    for names in inputs:
        mean, mean_rounded = means[names] / tokens[names]
        weight, scale, splits = _stacked(names, arrays, quantization)
        bits = quantization.weight_bits
        if options.rounding == "gptq":
            integers = gptq(weight, scale, products[names] / tokens[names], qmax(bits))
        else:
            integers = quantize(weight, scale, bits)
        error = ((integers * scale) @ mean_rounded - weight @ mean).astype(np.float32)
        parts = zip(names, np.split(integers, splits), np.split(error, splits), strict=True)
        for name, part, correction in parts:
            found[f"{name}.{INTEGERS}"], found[f"{name}.{CORRECTION}"] = part, correction
    return found


def _stacked(
    names: Sequence[str], arrays: Arrays, quantization: Quantization
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights [n O, H], scales [n O, 1], where to split them again) of the n layers that share an input.

    Their rows are rounded independently of each other, with one factor of the input's products for all.
    """
    pairs = [quantizable_weight(arrays, name, quantization) for name in names]
    weights = [weight for weight, _ in pairs]
    scales = [np.broadcast_to(scale, (len(weight), 1)) for weight, scale in pairs]
    return np.concatenate(weights), np.concatenate(scales), np.cumsum([len(w) for w in weights])[:-1]
