"""Task distillation (TinyBERT's second stage). SETTINGS and the two networks are yours to edit."""

import dataclasses

from ..commands import command_line
from .bert_config import BertConfig, preset
from .cli import parse
from .distill_config import IntermediateConfig, TeacherCacheConfig
from .fields import NOT_NEGATIVE, POSITIVE, flag, to_dict
from .student_config import StudentConfig, TransferConfig
from .task.from_records import task_for
from .train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class TaskDistillConfig(IntermediateConfig, TeacherCacheConfig, TransferConfig, StudentConfig, TrainConfig):
    """run_task_distill.py: a fine-tuned teacher and a general student -> a task student, in two phases."""

    do_train: bool = flag(True, "distil")
    do_eval: bool = flag(
        True, "evaluate after each epoch; alone (do_train false): evaluate load_td1_ckpt_path"
    )
    td_phase1_epoch_size: int = flag(10, "epochs of intermediate-layer distillation", check=NOT_NEGATIVE)
    td_phase2_epoch_size: int = flag(3, "epochs of prediction-layer distillation", check=NOT_NEGATIVE)
    phase2_learning_rate: float = flag(3e-5, "peak learning rate of phase 2", check=POSITIVE)
    augmented_data_dir: str = flag(
        "", "records of augmented rows: phase 1 trains on them, and not on train_data_dir"
    )
    phase2_augmented: bool = flag(True, "phase 2 too trains on augmented_data_dir")
    load_teacher_ckpt_path: str = flag(
        "", "fine-tuned teacher: a directory, or a .ckpt described by TEACHER_NET"
    )
    load_gd_ckpt_path: str = flag(
        "", "general student: a directory, or a .ckpt described by STUDENT_NET; empty: a fresh student"
    )
    load_td1_ckpt_path: str = flag("", "student after phase 1: with do_train it skips phase 1")
    carry_projection: bool = flag(True, "go on with the hidden projection of the general student")
    student_init: str = flag(
        "general",
        "teacher_layers copies the mapped teacher layers (equal widths)",
        ("general", "teacher_layers"),
    )
    temperature: float = flag(1.0, "T of the soft cross-entropy", check=POSITIVE)
    label_weight: float = flag(
        0.0, "weight of the label loss in phase 2, beside the teacher's", check=NOT_NEGATIVE
    )
    regression_target: str = flag("teacher", "what phase 2 of a regression fits", ("teacher", "label"))
    phase1_eval: bool = flag(False, "evaluate during phase 1 too (its head is not trained yet)")


# Your own values: they beat a task's recipe, lose to the command line; say SETTINGS = {"temperature": 2.0}
SETTINGS = {}

# The networks in .ckpt files, which hold no config of their own (directories do).
TEACHER_NET = BertConfig()
STUDENT_NET = preset("4L-384")


def resolve(argv=None):
    """The command line of run_task_distill.py -> (TaskSpec, Resolved)."""
    resolved = parse(TaskDistillConfig, argv, SETTINGS, _recipe, prog=command_line("task_distill"))
    return task_for(to_dict(resolved.config)), resolved


def _recipe(known):
    return task_for(known).recipe["task_distill"]
