"""General distillation (TinyBERT's first stage). SETTINGS and the teacher's network are yours to edit."""

import dataclasses

from ..commands import command_line
from .bert_config import BertConfig
from .cli import parse
from .distill_config import IntermediateConfig, TeacherCacheConfig
from .fields import NOT_NEGATIVE, POSITIVE, flag
from .student_config import StudentConfig
from .train_config import LoopConfig


@dataclasses.dataclass(frozen=True)
class GeneralDistillConfig(IntermediateConfig, TeacherCacheConfig, StudentConfig, LoopConfig):
    """run_general_distill.py: a pretrained teacher and raw text as records -> a general student."""

    load_teacher_ckpt_path: str = flag(
        "", "pretrained teacher: a directory, or a .ckpt described by TEACHER_NET"
    )
    data_dir: str = flag(
        "", "records of raw text: a file, a comma list or a folder that prepare_corpus wrote"
    )
    output_dir: str = flag("", "where results go (default: output/general_distill)", alias="save_ckpt_path")
    epoch_size: int = flag(1, "passes over the records", check=NOT_NEGATIVE)
    save_ckpt_step: int = flag(
        1000,
        "steps between resume checkpoints; one at each epoch's end too",
        alias="save_checkpoint_step",
        check=POSITIVE,
    )


# Your own values: they lose to the command line alone. Example: SETTINGS = {"batch_size": 64}
SETTINGS = {}

# The teacher's network when it is a .ckpt file, which holds no config of its own (directories do).
TEACHER_NET = BertConfig()


def resolve(argv=None):
    """The command line of run_general_distill.py -> Resolved."""
    return parse(GeneralDistillConfig, argv, SETTINGS, prog=command_line("general_distill"))
