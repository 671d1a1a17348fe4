"""Flags of `python -m src.tools.augment`."""

import dataclasses

from ..tasks import TASKS, find_task
from .cli import parse
from .fields import ALL_OR_SOME, NOT_NEGATIVE, POSITIVE, SHARE, option
from .train_config import DeviceConfig


@dataclasses.dataclass(frozen=True)
class AugmentConfig(DeviceConfig):
    """Make more training rows by replacing words (TinyBERT, section 3.2)."""

    task_name: str = option("", "GLUE task, or sample")
    data_dir: str = option("", "folder with the task's train file (train.tsv, .csv or .jsonl)")
    task_file: str = option(
        "", "task file of a task of your own, instead of both; rows that prepare splits off are left out"
    )
    output_file: str = option(
        "", "file of all rows, the original ones first (default: the training file's name and _aug: "
        "train_aug.tsv)"
    )
    mlm_model: str = option(
        "", "Hugging Face folder of a BERT with its masked language modelling head; it predicts words of one "
        "piece"
    )
    mlm_context: str = option(
        "sentence",
        "what the model sees: the sentence with the word masked (the paper), or the sentence itself after it "
        "too, which keeps nearer to the meaning (TinyBERT's published code)",
        ("sentence", "pair"),
    )
    glove_file: str = option(
        "", "GloVe text file whose neighbours replace words of several pieces; empty: those in a model's own "
        "word embeddings"
    )
    load_teacher_ckpt_path: str = option(
        "", "fine-tuned teacher: its word embeddings give neighbours (default: those of mlm_model), and "
        "filter_with_teacher asks it"
    )
    copies: int = option(
        20, "N, tries for a copy of each text; equal ones are left out", must=POSITIVE, alias="N"
    )
    probability: float = option(0.4, "p, the chance of each word to be replaced", must=SHARE, alias="p")
    candidates: int = option(15, "M, words of which the new one is drawn", must=POSITIVE, alias="M")
    filter_with_teacher: float = option(
        0.0, "keep a copy only if the teacher gives its label at least this probability, and no other one "
        "more (0: keep all)", must=SHARE
    )
    seed: int = option(1, "of all random choices", must=NOT_NEGATIVE)
    max_seq_length: int = option(128, "tokens of the context of a masked word", must=POSITIVE)
    batch_size: int = option(64, "masked words in one call of the model", must=POSITIVE)
    max_rows: int = option(-1, "read only the first N rows (-1: all)", must=ALL_OR_SOME)
    on_bad_row: str = option(
        "error", "a malformed row stops the run, or is left out and counted", choices=("error", "skip")
    )
    overwrite_output_file: bool = option(False, "replace output_file, and parts of another run beside it")


def resolve(argv=None):
    """The command line -> AugmentConfig; copies as the task's recipe says, where no flag does."""
    return parse(AugmentConfig, argv, recipe=_recipe, prog="python -m src.tools.augment").config


def _recipe(known):
    task = find_task(known["task_name"]) if known.get("task_name") else TASKS["SST-2"]
    return task.recipe["augment"]
