"""python -m src.tools.augment: augment training data by word replacement (TinyBERT, section 3.2)."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import ModelConfig
from ..config.fields import ALL_OR_SOME, NOT_NEGATIVE, POSITIVE, SHARE, flag
from ..errors import run_main
from ..tasks import TASKS, find_task


@dataclasses.dataclass(frozen=True)
class AugmentConfig(ModelConfig):
    """Augment training data by word replacement (TinyBERT, section 3.2)."""

    task_name: str = flag("", "GLUE task, or sample", group="data", main=True)
    data_dir: str = flag(
        "", "folder with the task's train file (train.tsv, .csv or .jsonl)", group="data", main=True
    )
    task_file: str = flag(
        "",
        "task file of a custom task, instead of task_name and data_dir; rows that prepare splits off are "
        "left out",
        group="data",
    )
    output_file: str = flag(
        "",
        "output file, the original rows first (default: the name of the training file with _aug: "
        "train_aug.tsv)",
        group="data",
    )
    mlm_model: str = flag(
        "",
        "Hugging Face folder of a BERT with a masked language modeling head, for single-piece words",
        group="model",
    )
    mlm_context: str = flag(
        "sentence",
        "model input: the sentence with the word masked (the paper), or a pair of the original sentence and "
        "the masked one, which stays closer to the meaning (TinyBERT's published code)",
        ("sentence", "pair"),
        group="model",
    )
    glove_file: str = flag(
        "",
        "GloVe text file whose neighbors replace multi-piece words (empty: a model's word embeddings)",
        group="model",
    )
    load_teacher_ckpt_path: str = flag(
        "",
        "fine-tuned teacher for filter_with_teacher; its word embeddings provide neighbors (default: those "
        "of mlm_model)",
        group="model",
    )
    copies: int = flag(20, "N, augmented samples per text; duplicates are dropped", check=POSITIVE, alias="N")
    probability: float = flag(0.4, "p, probability of replacing a word", check=SHARE, alias="p")
    candidates: int = flag(15, "M, candidates per word", check=POSITIVE, alias="M")
    filter_with_teacher: float = flag(
        0.0,
        "keep a sample only if the teacher predicts its label with at least this probability (0: keep all)",
        check=SHARE,
    )
    seed: int = flag(1, "random seed", check=NOT_NEGATIVE)
    max_seq_length: int = flag(128, "tokens of context for a masked word", check=POSITIVE)
    batch_size: int = flag(64, "masked words per batch", check=POSITIVE)
    max_rows: int = flag(-1, "read only the first N rows (-1: all)", check=ALL_OR_SOME)
    on_bad_row: str = flag("error", "malformed rows: error, or skip and count them", ("error", "skip"))
    overwrite_output_file: bool = flag(
        False, "replace output_file, and the parts of an unfinished run next to it"
    )


def resolve(argv: Sequence[str] | None = None) -> AugmentConfig:
    """The config of a command line; the number of copies defaults to the task's recipe."""
    return parse(AugmentConfig, argv, recipe=_recipe, prog=command_line("augment")).config


def _recipe(known: dict[str, Any]) -> Mapping[str, Any]:
    task = find_task(known["task_name"]) if known.get("task_name") else TASKS["SST-2"]
    return task.recipe["augment"]


def main(argv: Sequence[str] | None = None) -> None:
    """Write the augmented file."""
    config = resolve(argv)
    from ..stages.augmentation.augment import augment

    augment(config)


if __name__ == "__main__":
    run_main(main)
