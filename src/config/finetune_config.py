"""Fine-tuning: a pretrained BERT becomes the teacher of a task. SETTINGS is yours to edit."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..commands import command_line
from ..tasks import TaskSpec
from .cli import Resolved, parse
from .fields import NOT_NEGATIVE, POSITIVE, flag, to_dict
from .student_config import StudentConfig, TransferConfig
from .task.from_records import task_for
from .train_config import TrainConfig

# Learning rates by --init, measured in docs/results.md.
RATES = {"pretrained": 5e-5, "teacher_layers": 1e-4, "fresh": 5e-4}


@dataclasses.dataclass(frozen=True)
class FinetuneConfig(TransferConfig, StudentConfig, TrainConfig):
    """Fine-tune a pretrained BERT on the records of a task."""

    GROUP: ClassVar[str] = "model"

    load_pretrained_path: str = flag(
        "", "pretrained model folder or weight file; empty with --init fresh", main=True
    )
    init: str = flag(
        "pretrained",
        "fresh: train the architecture of --student_preset from random weights, on labels only; "
        "teacher_layers: train num_hidden_layers (0: half) of the given model's layers, the start of a "
        "distilled student",
        ("pretrained", "fresh", "teacher_layers"),
    )
    vocab_dir: str = flag("", "tokenizer files for --init fresh (default: those next to the records)")
    learning_rate: float = flag(
        5e-5, "peak learning rate (by --init: docs/finetune.md)", check=POSITIVE, group="optimization"
    )
    epoch_size: int = flag(3, "number of epochs", check=NOT_NEGATIVE, group="optimization")


# Your own values: they override a task's recipe; the command line overrides them.
# Example: SETTINGS = {"batch_size": 64}
SETTINGS: dict[str, Any] = {}


def resolve(argv: Sequence[str] | None = None) -> tuple[TaskSpec, Resolved[FinetuneConfig]]:
    """The task and the config of a run_finetune.py command line."""
    resolved = parse(FinetuneConfig, argv, SETTINGS, _recipe, prog=command_line("finetune"))
    return task_for(to_dict(resolved.config)), resolved


def _recipe(known: dict[str, Any]) -> Mapping[str, Any]:
    return {**task_for(known).recipe["finetune"], "learning_rate": RATES[known.get("init", "pretrained")]}
