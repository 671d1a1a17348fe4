"""Flags of the student's architecture: a preset, and single sizes that override it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from ..errors import UserError
from .bert_config import HIDDEN_ACTS, PRESETS, BertConfig, preset
from .fields import DROPOUT, NOT_NEGATIVE, POSITIVE, flag

DEFAULT_PRESET = "4L-312"


# Of --student_init; any other value is the folder of a model.
STUDENT_STARTS = ("auto", "general", "teacher_layers")


@dataclasses.dataclass(frozen=True)
class TransferConfig:
    """The classifier when training starts from a model of another task."""

    GROUP: ClassVar[str] = "model"

    new_head: bool = flag(
        False,
        "always initialize a new classifier, even if the given model's has the same label names; one with "
        "other labels is replaced in any case",
    )


@dataclasses.dataclass(frozen=True)
class StudentConfig:
    """A preset and the fields that differ from it; 0 (or -1 for rates) keeps the preset's value."""

    GROUP: ClassVar[str] = "model"

    student_preset: str = flag(
        "",
        f"architecture of a newly initialized student (default: {DEFAULT_PRESET}; with the teacher's "
        "layers its own)",
        ("", *PRESETS),
    )
    num_hidden_layers: int = flag(0, "student layers (0: as in the preset)", check=NOT_NEGATIVE)
    hidden_size: int = flag(0, "student hidden size (0: as in the preset)", check=NOT_NEGATIVE)
    num_attention_heads: int = flag(0, "student attention heads (0: as in the preset)", check=NOT_NEGATIVE)
    intermediate_size: int = flag(0, "student feed-forward size (0: as in the preset)", check=NOT_NEGATIVE)
    max_position_embeddings: int = flag(
        0, "student position embeddings (0: as in the teacher or the preset)", check=NOT_NEGATIVE
    )
    hidden_act: str = flag("", "student activation (default: gelu)", ("", *HIDDEN_ACTS))
    layer_norm_eps: float = flag(0.0, "epsilon of the student's LayerNorm (0: 1e-12)", check=NOT_NEGATIVE)
    initializer_range: float = flag(
        0.02, "standard deviation of the truncated normal initialization", check=POSITIVE
    )
    use_relative_positions: bool = flag(
        False, "relative position embeddings in a newly initialized student, instead of absolute ones"
    )
    head_activation: str = flag(
        "none", "relu: ReLU before the classifier, as in the original TinyBERT", ("none", "relu")
    )
    hidden_dropout_prob: float = flag(
        -1.0, "student dropout of hidden states (-1: as in its config)", check=DROPOUT
    )
    attention_probs_dropout_prob: float = flag(
        -1.0, "student attention dropout (-1: as in its config)", check=DROPOUT
    )
    cls_dropout_prob: float = flag(
        -1.0, "student dropout before the classifier (-1: as in its config)", check=DROPOUT
    )


SIZES = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "hidden_act",
    "layer_norm_eps",
)
PRESET_SIZES = SIZES[:4]
ARCHITECTURE = ("student_preset", *SIZES, "use_relative_positions", "head_activation")
# flag -> field of BertConfig
RATES = {
    "hidden_dropout_prob": "hidden_dropout_prob",
    "attention_probs_dropout_prob": "attention_probs_dropout_prob",
    "cls_dropout_prob": "classifier_dropout",
}


def fresh_student(values: StudentConfig, **fixed: Any) -> BertConfig:
    """The config of a newly initialized student; `fixed` fields (vocabulary, labels ...) are given."""
    sizes = {name: getattr(values, name) for name in SIZES if getattr(values, name)}
    own = {
        "initializer_range": values.initializer_range,
        "use_relative_positions": values.use_relative_positions,
        "head_activation": values.head_activation,
    }
    config = preset(values.student_preset or DEFAULT_PRESET).replace(**{**fixed, **own, **sizes})
    return with_rates(config, values)


def names_architecture(known: Mapping[str, Any]) -> bool:
    """Whether one of the flags {name: value} asks for an architecture; those that are absent do not."""
    defaults = {name: getattr(StudentConfig, name) for name in ARCHITECTURE}
    return any(known.get(name, default) != default for name, default in defaults.items())


def check_architecture(values: StudentConfig, config: BertConfig, source: object) -> None:
    """Raise UserError if flags specify another architecture than the BertConfig of the model `source`."""
    fresh = preset(values.student_preset or DEFAULT_PRESET)
    # flag -> {field: value}; a preset sets the sizes that no flag of their own overrides
    requested: dict[str, dict[str, Any]] = {
        "student_preset": {size: getattr(values, size) or getattr(fresh, size) for size in PRESET_SIZES}
    }
    for name in (*SIZES, "use_relative_positions", "head_activation"):
        requested[name] = {name: getattr(values, name)}
    for option, fields in requested.items():
        value = getattr(values, option)
        differing = [name for name in fields if fields[name] != getattr(config, name)]
        if value != getattr(StudentConfig, option) and differing:
            raise UserError(
                f"--{option} {value} applies to a newly initialized student, but {source} has {differing[0]} "
                f"{getattr(config, differing[0])}; remove the flag"
            )


def with_rates(config: BertConfig, values: Any) -> BertConfig:
    """`config` with the dropout rates given as flags."""
    rates = {field: getattr(values, name) for name, field in RATES.items()}
    return config.replace(**{field: rate for field, rate in rates.items() if rate >= 0})
