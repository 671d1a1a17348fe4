"""Flags of the losses between teacher and student layers: general distillation and phase 1 of a task."""

import dataclasses

from .fields import NOT_NEGATIVE, flag


@dataclasses.dataclass(frozen=True)
class IntermediateConfig:
    """Which layers are compared, with what weights, over which positions."""

    layer_map: str = flag(
        "uniform", "uniform (g(m) = m * N / M), or the teacher layer of each student layer: 2,4,6"
    )
    embedding_weight: float = flag(1.0, "weight of the embedding loss", check=NOT_NEGATIVE)
    hidden_weight: float = flag(1.0, "weight of the hidden-state loss", check=NOT_NEGATIVE)
    attention_weight: float = flag(
        1.0, "weight of the attention-score loss (0 where heads differ)", check=NOT_NEGATIVE
    )
    loss_padding: str = flag(
        "exclude",
        "include counts padded positions in these losses, as the original did",
        ("exclude", "include"),
    )
