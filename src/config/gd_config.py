"""General distillation (TinyBERT's first stage). SETTINGS and the teacher's network are yours to edit."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from ..commands import command_line
from .bert_config import BertConfig
from .cli import Resolved, parse
from .distill_config import IntermediateConfig, TeacherConfig
from .fields import NOT_NEGATIVE, POSITIVE, flag
from .migration.zoo_config import ZooFileConfig
from .migration.zoo_recipe import RecipeConfig, general_distill_recipe, with_networks
from .student_config import StudentConfig
from .train_config import LoopConfig


@dataclasses.dataclass(frozen=True)
class GeneralDistillConfig(
    ZooFileConfig, RecipeConfig, IntermediateConfig, TeacherConfig, StudentConfig, LoopConfig
):
    """Distill a pretrained teacher into a general student, on records of raw text."""

    GROUP: ClassVar[str] = "model"
    ZOO_KIND: ClassVar[str] = "general_distill"

    load_teacher_ckpt_path: str = flag(
        "", "pretrained teacher: a model folder, or a .ckpt described by TEACHER_NET", main=True
    )
    data_dir: str = flag(
        "",
        "records of raw text: a file, a comma-separated list, or a folder written by prepare_corpus",
        group="data",
        main=True,
    )
    output_dir: str = flag("", "output folder (default: output/general_distill)", alias="save_ckpt_path")
    epoch_size: int = flag(1, "number of epochs", check=NOT_NEGATIVE, group="optimization")
    save_ckpt_step: int = flag(
        1000,
        "steps between checkpoints; one is also written after each epoch",
        alias="save_checkpoint_step",
        check=POSITIVE,
    )


# Your own values: the command line overrides them. Example: SETTINGS = {"batch_size": 64}
SETTINGS: dict[str, Any] = {}

# The teacher's network if it is a .ckpt file, which has no config of its own (model folders do).
TEACHER_NET = BertConfig()


def resolve(argv: Sequence[str] | None = None) -> Resolved[GeneralDistillConfig]:
    """The config of a run_general_distill.py command line."""
    resolved = parse(
        GeneralDistillConfig,
        argv,
        SETTINGS,
        general_distill_recipe,
        prog=command_line("general_distill"),
    )
    return with_networks(resolved, teacher=TEACHER_NET)
