"""Flags of the losses between teacher and student layers: general distillation and phase 1 of a task."""

import dataclasses

from .fields import NOT_NEGATIVE, POSITIVE, flag

FOLDER = "teacher_cache"  # beside the folder of a run


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


@dataclasses.dataclass(frozen=True)
class TeacherCacheConfig:
    """What of a teacher's answers is kept for later epochs and runs, and where."""

    teacher_cache: str = flag(
        "auto",
        "keep what the teacher says for later epochs, seeds and students: full, logits (phase 2 alone), off; "
        "auto is full up to teacher_cache_limit_gb and a quarter of the free disk, else logits, else off",
        ("auto", "off", "logits", "full"),
    )
    teacher_cache_dir: str = flag("", f"where caches are kept (default: {FOLDER} beside output_dir)")
    teacher_cache_limit_gb: float = flag(10.0, "largest cache that is written, in GB", check=POSITIVE)
