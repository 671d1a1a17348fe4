"""Flags of distillation: losses between teacher and student layers, precision and cache of the teacher."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

from .fields import NOT_NEGATIVE, POSITIVE, flag

FOLDER = "teacher_cache"  # next to the output folder of a run


def cache_root(config: Any, output_dir: Path) -> Path:
    """The folder of the teacher caches of a run with the folder `output_dir`."""
    return Path(config.teacher_cache_dir or output_dir.parent / FOLDER)


@dataclasses.dataclass(frozen=True)
class IntermediateConfig:
    """Layer map, loss weights and masking of intermediate-layer distillation."""

    GROUP: ClassVar[str] = "distillation"

    intermediate_loss: str = flag(
        "tinybert",
        "tinybert: embeddings, hidden states and attention scores of mapped layers; relation: queries, keys "
        "and values of one layer (MiniLMv2), for students of any width and number of heads",
        ("tinybert", "relation"),
    )
    relation_heads: int = flag(
        0,
        "heads into which relations split queries, keys and values; they divide both widths (0: the most of "
        "up to 48)",
        check=NOT_NEGATIVE,
    )
    relation_layer: str = flag(
        "auto",
        "teacher layer whose relations the student's last layer learns; auto: the last of up to 12 layers, "
        "21 of 24",
    )
    layer_map: str = flag(
        "uniform", "uniform (g(m) = m * N / M), or the teacher layer for each student layer: 2,4,6"
    )
    hidden_projection: str = flag(
        "shared",
        "matrix from the student's to the teacher's width: one shared by all hidden states (W_h of the "
        "published code), or one per_layer, as in TinyBERT's second general models",
        ("shared", "per_layer"),
    )
    embedding_weight: float = flag(1.0, "weight of the embedding loss", check=NOT_NEGATIVE)
    hidden_weight: float = flag(1.0, "weight of the hidden-state loss", check=NOT_NEGATIVE)
    attention_weight: float = flag(
        1.0,
        "weight of the attention-score loss (0 if the numbers of heads differ)",
        check=NOT_NEGATIVE,
    )
    loss_padding: str = flag(
        "exclude",
        "include: count padding positions in these losses, as the original code does",
        ("exclude", "include"),
    )


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """Precision of a frozen teacher, and which of its outputs are cached for later epochs and runs."""

    GROUP: ClassVar[str] = "distillation"

    # Replaces DeviceConfig's, which has no teacher.
    matmul_precision: str = flag(
        "auto",
        "bf16: round the inputs of matrix multiplications, on CPUs with bf16 instructions; auto: those of "
        "the teacher alone, where this is measured to be faster",
        ("auto", "fp32", "bf16"),
        group="hardware",
    )
    teacher_cache: str = flag(
        "auto",
        "cache teacher outputs for later epochs and seeds: full, logits (phase 2 only) or off; "
        "auto: full up to teacher_cache_limit_gb and a quarter of the free disk space, else logits, else off",
        ("auto", "off", "logits", "full"),
    )
    teacher_cache_dir: str = flag("", f"folder for caches (default: {FOLDER} next to output_dir)")
    keep_teacher_cache: bool = flag(
        False, "keep the caches that this run wrote for later runs, instead of deleting them at its end"
    )
    teacher_cache_limit_gb: float = flag(10.0, "maximum size of a cache in GB", check=POSITIVE)
