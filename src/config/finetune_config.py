"""Fine-tuning: a pretrained BERT becomes the teacher of a task. SETTINGS is yours to edit."""

import dataclasses

from ..commands import command_line
from .cli import parse
from .fields import NOT_NEGATIVE, flag, to_dict
from .student_config import StudentConfig, TransferConfig
from .task.from_records import task_for
from .train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class FinetuneConfig(TransferConfig, StudentConfig, TrainConfig):
    """run_finetune.py: a pretrained directory and records -> a fine-tuned directory."""

    load_pretrained_path: str = flag("", "pretrained directory or weight file; empty with --init fresh")
    init: str = flag(
        "pretrained",
        "fresh trains the architecture of --student_preset on labels alone",
        ("pretrained", "fresh"),
    )
    vocab_dir: str = flag("", "tokenizer files for --init fresh (default: those beside the records)")
    epoch_size: int = flag(3, "passes over the training rows", check=NOT_NEGATIVE)


# Your own values: they beat a task's recipe, lose to the command line. Example: SETTINGS = {"batch_size": 64}
SETTINGS = {}


def resolve(argv=None):
    """The command line of run_finetune.py -> (TaskSpec, Resolved)."""
    resolved = parse(FinetuneConfig, argv, SETTINGS, _recipe, prog=command_line("finetune"))
    return task_for(to_dict(resolved.config)), resolved


def _recipe(known):
    return task_for(known).recipe["finetune"]
