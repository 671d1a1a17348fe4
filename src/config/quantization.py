"""How a model is quantized, kept in its config.json under the key `quantization`."""

import dataclasses

from ..errors import UserError, did_you_mean

BITS = ("0, or from 2 to 8", lambda bits: bits == 0 or 2 <= bits <= 8)
# The last part of the name of a layer's range: the moving average of max|x| of its input, float32 [1].
RANGE = "input_threshold"


def levels(bits):
    """M, the largest integer of a symmetric scheme of `bits` bits."""
    return 2 ** (bits - 1) - 1


def is_range(name):
    """Whether a weight of this name is the range of a layer's input."""
    return name.endswith(f".{RANGE}")


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Bits of each group of tensors (0: it stays in float) and how they are used (Zafrir et al. 2019).

    `per_channel` gives each output of a dense layer its own weight threshold, `quantize_classifier` counts
    the classifier among the dense layers, `quantizer` is the row of src/quant/quantizers.py for the weights.
    """

    weight_bits: int = 8
    embedding_bits: int = 8
    activation_bits: int = 8
    per_channel: bool = False
    quantize_classifier: bool = True
    quantizer: str = "symmetric"

    def __post_init__(self):
        groups = ("weight_bits", "embedding_bits", "activation_bits")
        for name in groups:
            bits = getattr(self, name)
            if type(bits) is not int or not BITS[1](bits):
                raise UserError(f"{name} {bits!r} has to be {BITS[0]}")
        for name in ("per_channel", "quantize_classifier"):
            if type(getattr(self, name)) is not bool:
                raise UserError(f"{name} {getattr(self, name)!r} has to be true or false")
        if not any(getattr(self, name) for name in groups):
            raise UserError(f"{', '.join(groups)} are all 0: nothing is left to quantize")

    @classmethod
    def from_json(cls, values, source):
        """The Quantization that a config.json holds, None for None. Raises UserError that names `source`."""
        if values is None:
            return None
        if not isinstance(values, dict):
            raise UserError(f"{source}: quantization is not a table of bits")
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise UserError(f'{source}: unknown key "{name}" in quantization{did_you_mean(name, names)}')
        try:
            return cls(**values)
        except UserError as error:
            raise UserError(f"{source}: quantization: {error}") from None
