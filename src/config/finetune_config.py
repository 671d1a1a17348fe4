"""Fine-tuning: a pretrained BERT becomes the teacher of a task. SETTINGS is yours to edit."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ..commands import command_line
from ..errors import UserError
from ..tasks import TaskSpec
from .bert_config import BertConfig
from .cli import Resolved, parse
from .fields import NOT_NEGATIVE, POSITIVE, flag, to_dict
from .student_config import StudentConfig, TransferConfig
from .task.from_records import task_for, training_rows
from .train_config import TrainConfig

# Learning rates by --init, measured in docs/results.md.
RATES = {"pretrained": 5e-5, "teacher_layers": 1e-4, "fresh": 5e-4}
# That of a pretrained model under SMALL_WIDTH on fewer than FEW_ROWS rows: its few steps at the other can
# leave it at the majority class. 5e-5 is the highest that Devlin et al. (2019) try for BERT-base.
FEW_ROWS_RATE = 1e-4
SMALL_WIDTH, FEW_ROWS = 512, 10_000


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
        5e-5,
        "peak learning rate (by --init, width and rows: docs/finetune.md)",
        check=POSITIVE,
        group="optimization",
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
    return {**task_for(known).recipe["finetune"], "learning_rate": _learning_rate(known)}


def _learning_rate(known: Mapping[str, Any]) -> float:
    init = known.get("init", "pretrained")
    if init == "pretrained" and training_rows(known) < FEW_ROWS and _is_small(known):
        return FEW_ROWS_RATE
    return RATES[init]


def _is_small(known: Mapping[str, Any]) -> bool:
    """Whether the pretrained model has a config.json with a small width."""
    if not known.get("load_pretrained_path"):
        return False
    path = Path(known["load_pretrained_path"])
    if not (file := (path if path.is_dir() else path.parent) / "config.json").is_file():
        return False
    try:
        return BertConfig.from_json(file).hidden_size < SMALL_WIDTH
    except UserError:  # the stage reports it
        return False
