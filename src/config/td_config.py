"""Task distillation (TinyBERT's second stage). SETTINGS and the two networks are yours to edit."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..commands import command_line
from ..errors import UserError
from ..tasks import TaskSpec
from .bert_config import BertConfig, preset
from .cli import Resolved, parse
from .distill_config import IntermediateConfig, TeacherConfig
from .fields import LOSS_SCALE_OR_OWN, NOT_NEGATIVE, POSITIVE, SHARE_OR_OWN, flag, to_dict
from .migration.zoo_config import ZooTaskConfig
from .migration.zoo_recipe import RecipeConfig, is_zoo, task_distill_recipe, with_networks
from .student_config import StudentConfig, TransferConfig, names_architecture
from .task.from_records import task_for
from .train_config import TrainConfig

# Learning rates by start of the student (docs/results.md); those of a general student are TinyBERT's.
RATES = {
    "general": {"learning_rate": 5e-5, "phase2_learning_rate": 3e-5},
    "teacher_layers": {"learning_rate": 1e-4, "phase2_learning_rate": 1e-4},
    "random": {"learning_rate": 5e-4, "phase2_learning_rate": 3e-4},
}
BY_START = " (by start of the student: docs/task_distill.md)"


@dataclasses.dataclass(frozen=True)
class TaskDistillConfig(
    ZooTaskConfig,
    RecipeConfig,
    IntermediateConfig,
    TeacherConfig,
    TransferConfig,
    StudentConfig,
    TrainConfig,
):
    """Distill a fine-tuned teacher into a task student: intermediate layers, then the prediction layer."""

    GROUP: ClassVar[str] = "optimization"

    do_train: bool = flag(True, "train the student")
    do_eval: bool = flag(
        True, "evaluate after each epoch; with do_train false, evaluate load_td1_ckpt_path only"
    )
    td_phase1_epoch_size: int = flag(10, "epochs of intermediate-layer distillation", check=NOT_NEGATIVE)
    td_phase2_epoch_size: int = flag(3, "epochs of prediction-layer distillation", check=NOT_NEGATIVE)
    learning_rate: float = flag(5e-5, f"peak learning rate{BY_START}", check=POSITIVE)
    phase2_learning_rate: float = flag(3e-5, f"peak learning rate of phase 2{BY_START}", check=POSITIVE)
    phase1_warmup_ratio: float = flag(
        -1.0, "fraction of phase 1's steps used for warmup (-1: warmup_ratio)", check=SHARE_OR_OWN
    )
    phase2_loss_scale_value: float = flag(
        0.0, "initial loss scale of phase 2 (0: loss_scale_value)", check=LOSS_SCALE_OR_OWN
    )
    phase1_eval: bool = flag(False, "evaluate in phase 1 too, where the classifier is untrained")
    augmented_data_dir: str = flag(
        "", "augmented training records, used instead of train_data_dir in phase 1", group="data"
    )
    phase2_augmented: bool = flag(True, "use augmented_data_dir in phase 2 too", group="data")
    load_teacher_ckpt_path: str = flag(
        "",
        "fine-tuned teacher: a model folder, or a .ckpt described by TEACHER_NET",
        group="model",
        main=True,
    )
    load_gd_ckpt_path: str = flag(
        "",
        "general student: a model folder, or a .ckpt described by STUDENT_NET (empty: see student_init)",
        group="model",
        main=True,
    )
    load_td1_ckpt_path: str = flag(
        "", "student after phase 1; with do_train true, phase 1 is skipped", group="model"
    )
    student_init: str = flag(
        "auto",
        "general: load_gd_ckpt_path, or random weights where it is empty; teacher_layers: the mapped layers "
        "of the teacher, half of them unless num_hidden_layers or a preset says otherwise; auto: "
        "teacher_layers where neither a general student nor an architecture is given; any other value: the "
        "folder of a pruned model of the teacher",
        group="model",
    )
    carry_projection: bool = flag(
        True, "keep the hidden projection of the general student", group="distillation"
    )
    temperature: float = flag(
        1.0, "temperature of the soft cross-entropy", check=POSITIVE, group="distillation"
    )
    label_weight: float = flag(
        0.0, "weight of the label loss in phase 2", check=NOT_NEGATIVE, group="distillation"
    )
    regression_target: str = flag(
        "teacher", "target of phase 2 in a regression", ("teacher", "label"), group="distillation"
    )

    @property
    def start(self) -> str:
        """The start of the student, a key of RATES."""
        return start_of(to_dict(self))


# Your own values: they override a task's recipe; the command line overrides them.
# Example: SETTINGS = {"temperature": 2.0}
SETTINGS: dict[str, Any] = {}

# The networks of .ckpt files, which have no config of their own (model folders do).
TEACHER_NET = BertConfig()
STUDENT_NET = preset("4L-384")


def resolve(argv: Sequence[str] | None = None) -> tuple[TaskSpec, Resolved[TaskDistillConfig]]:
    """The task and the config of a run_task_distill.py command line."""
    resolved = parse(TaskDistillConfig, argv, SETTINGS, _recipe, prog=command_line("task_distill"))
    task, config = task_for(to_dict(resolved.config)), resolved.config
    if config.regression_target == "label" and task.output_mode != "regression":
        raise UserError(
            f"--regression_target label is for scores, and {task.name} is a {task.output_mode} task; omit it "
            "(--label_weight adds the label loss)"
        )
    return task, with_networks(resolved, task, teacher=TEACHER_NET, student=STUDENT_NET)


def start_of(known: Mapping[str, Any]) -> str:
    """The start of the student, a key of RATES, by the flags {name: value}."""
    if known.get("load_gd_ckpt_path") or known.get("load_td1_ckpt_path"):
        return "general"
    init = known.get("student_init", "auto")
    if init == "auto" and not (is_zoo(known) or names_architecture(known)):
        init = "teacher_layers"
    # What is left of a pruned teacher are layers of the teacher.
    return "random" if init in ("auto", "general") else "teacher_layers"


def _recipe(known: dict[str, Any]) -> Mapping[str, Any]:
    recipe = task_for(known).recipe["task_distill"]
    return {**recipe, **RATES[start_of(known)], **task_distill_recipe(known)}
