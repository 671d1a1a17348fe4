"""Quantization settings of a model, stored in its config.json under the key `quantization`."""

from __future__ import annotations

import dataclasses

from ..errors import UserError, did_you_mean
from .fields import Check

BITS: Check = ("0, or from 2 to 8", lambda bits: bits == 0 or 2 <= bits <= 8)
# Last part of the name of a layer's activation range: moving average of max|x| of its input, float32 [1].
RANGE = "input_threshold"
# What static quantization (infer/onnx/calibration.py) has for a layer of shape [O, H]: scale and zero point
# of its input, its divisor per channel [H], its channels that stay in float32 [k], its weight in integers
# [O, H], and what is subtracted from its bias [O].
SCALE, ZERO_POINT = "input_scale", "input_zero_point"
SMOOTHING, FLOAT_CHANNELS = "input_smoothing", "float_channels"
INTEGERS, CORRECTION = "weight_integers", "bias_correction"
PARAMETERS = (RANGE, SCALE, ZERO_POINT, SMOOTHING, FLOAT_CHANNELS, INTEGERS, CORRECTION)


def qmax(bits: int) -> int:
    """M, the largest integer of symmetric `bits`-bit quantization."""
    return 2 ** (bits - 1) - 1


def is_range(name: str) -> bool:
    """Whether the array `name` is a layer's activation range, or belongs to its static quantization."""
    return name.rpartition(".")[2] in PARAMETERS


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Bit widths (0: float) and options of quantization (Zafrir et al. 2019).

    `per_channel` gives each output channel of a dense layer its own weight range, `quantize_classifier`
    includes the classifier in the dense layers, `quantizer` names the weight quantizer in
    src/quant/quantizers.py. `float_layers` are dense layers and embedding tables that stay in float32, by
    the Hugging Face names of their weights without `.weight`.

    Two schemes of exported files give inputs a zero point and embeddings a scale per column: `dynamic` with
    ranges of inputs that are computed from each batch at run time, `static` with calibrated ones.
    """

    weight_bits: int = 8
    embedding_bits: int = 8
    activation_bits: int = 8
    per_channel: bool = False
    quantize_classifier: bool = True
    quantizer: str = "symmetric"
    float_layers: tuple[str, ...] = ()
    dynamic: bool = False
    static: bool = False

    def __post_init__(self) -> None:
        groups = ("weight_bits", "embedding_bits", "activation_bits")
        for name in groups:
            bits = getattr(self, name)
            if type(bits) is not int or not BITS[1](bits):
                raise UserError(f"{name} {bits!r} must be {BITS[0]}")
        for name in ("per_channel", "quantize_classifier", "dynamic", "static"):
            if type(getattr(self, name)) is not bool:
                raise UserError(f"{name} {getattr(self, name)!r} must be true or false")
        layers = self.float_layers
        if not isinstance(layers, tuple) or not all(isinstance(name, str) for name in layers):
            raise UserError(f"float_layers {layers!r} must be a list of names of layers")
        if not any(getattr(self, name) for name in groups):
            raise UserError(f"{', '.join(groups)} are all 0: nothing to quantize")

    @property
    def post_training(self) -> bool:
        """Whether it is a scheme of exported files, which training does not simulate."""
        return self.dynamic or self.static

    def quantizes(self, layer: str) -> bool:
        """Whether the dense layer or embedding table `layer` is quantized, if its tensor group is."""
        return layer not in self.float_layers and (self.quantize_classifier or layer != "classifier")

    def to_json(self) -> dict[str, object]:
        """The entry of config.json, which `from_json` reads."""
        values = dataclasses.asdict(self)
        # Models without them have the keys of earlier versions.
        unset = [name for name in ("float_layers", "dynamic", "static") if not values[name]]
        return {name: value for name, value in values.items() if name not in unset}

    @classmethod
    def from_json(cls, values: object, source: object) -> Quantization | None:
        """The Quantization in a config.json, None for None. Raises UserError that names `source`."""
        if values is None:
            return None
        if not isinstance(values, dict):
            raise UserError(f"{source}: quantization is not a JSON object")
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise UserError(f'{source}: unknown key "{name}" in quantization{did_you_mean(name, names)}')
        if isinstance(values.get("float_layers"), list):
            values = {**values, "float_layers": tuple(values["float_layers"])}
        try:
            return cls(**values)
        except UserError as error:
            raise UserError(f"{source}: quantization: {error}") from None
