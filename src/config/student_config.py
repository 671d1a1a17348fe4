"""The student's architecture as flags: a preset, and single sizes over it."""

import dataclasses

from ..errors import UserError
from .bert_config import PRESETS, BertConfig, preset
from .fields import DROPOUT, NOT_NEGATIVE, POSITIVE, flag


@dataclasses.dataclass(frozen=True)
class TransferConfig:
    """What becomes of the classifier of a model that was trained on another task."""

    new_head: bool = flag(
        False,
        "a new classifier even where the given model's has labels of the same names; one with others is "
        "replaced in any case",
    )


@dataclasses.dataclass(frozen=True)
class StudentConfig:
    """A preset and the fields that differ from it; 0 (or -1 for rates) keeps the preset's value."""

    student_preset: str = flag("4L-312", "architecture of a fresh student", tuple(PRESETS))
    num_hidden_layers: int = flag(0, "student layers (0: as the preset)", check=NOT_NEGATIVE)
    hidden_size: int = flag(0, "student width (0: as the preset)", check=NOT_NEGATIVE)
    num_attention_heads: int = flag(0, "student heads (0: as the preset)", check=NOT_NEGATIVE)
    intermediate_size: int = flag(0, "student feed-forward width (0: as the preset)", check=NOT_NEGATIVE)
    max_position_embeddings: int = flag(
        0, "student positions (0: as the teacher or the preset)", check=NOT_NEGATIVE
    )
    hidden_act: str = flag("", "student activation (default: gelu)", ("", "gelu", "relu"))
    initializer_range: float = flag(
        0.02, "spread of a fresh student's truncated normal weights", check=POSITIVE
    )
    use_relative_positions: bool = flag(False, "relative instead of absolute positions in a fresh student")
    head_activation: str = flag(
        "none", "relu puts the original TinyBERT's ReLU before the classifier", ("none", "relu")
    )
    hidden_dropout_prob: float = flag(
        -1.0, "student dropout of hidden states (-1: the config's own)", check=DROPOUT
    )
    attention_probs_dropout_prob: float = flag(
        -1.0, "student dropout of attention (-1: the config's own)", check=DROPOUT
    )


SIZES = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "hidden_act",
)
RATES = ("hidden_dropout_prob", "attention_probs_dropout_prob")


def fresh_student(values: StudentConfig, **fixed) -> BertConfig:
    """The student's config from a preset and its flags; `fixed` (vocabulary, labels ...) is given."""
    sizes = {name: getattr(values, name) for name in SIZES if getattr(values, name)}
    own = {
        "initializer_range": values.initializer_range,
        "use_relative_positions": values.use_relative_positions,
        "head_activation": values.head_activation,
    }
    return with_rates(preset(values.student_preset, **{**fixed, **own}).replace(**sizes), values)


def check_architecture(values: StudentConfig, config, source):
    """Refuse flags that ask for another architecture than the BertConfig of the given model `source` has."""
    fresh = preset(values.student_preset)
    # flag -> the fields it asks for; a preset speaks of the first four sizes that have no flag of their own
    asked = {"student_preset": {size: getattr(values, size) or getattr(fresh, size) for size in SIZES[:4]}}
    for name in (*SIZES, "use_relative_positions", "head_activation"):
        asked[name] = {name: getattr(values, name)}
    for option, fields in asked.items():
        value = getattr(values, option)
        differing = [name for name in fields if fields[name] != getattr(config, name)]
        if value != getattr(StudentConfig, option) and differing:
            raise UserError(
                f"--{option} {value} is for a fresh student; {source} has {differing[0]} "
                f"{getattr(config, differing[0])}: leave it out"
            )


def with_rates(config, values):
    """`config` with the dropout rates that the flags give."""
    return config.replace(**{name: getattr(values, name) for name in RATES if getattr(values, name) >= 0})
