"""python -m src.tools.augment: more training rows by replacing words (TinyBERT, section 3.2)."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import DeviceConfig
from ..config.fields import ALL_OR_SOME, NOT_NEGATIVE, POSITIVE, SHARE, flag
from ..errors import run_main
from ..tasks import TASKS, find_task


@dataclasses.dataclass(frozen=True)
class AugmentConfig(DeviceConfig):
    """Make more training rows by replacing words (TinyBERT, section 3.2)."""

    task_name: str = flag("", "GLUE task, or sample")
    data_dir: str = flag("", "folder with the task's train file (train.tsv, .csv or .jsonl)")
    task_file: str = flag(
        "", "task file of a task of your own, instead of both; rows that prepare splits off are left out"
    )
    output_file: str = flag(
        "",
        "file of all rows, the original ones first (default: the training file's name and _aug: "
        "train_aug.tsv)",
    )
    mlm_model: str = flag(
        "",
        "Hugging Face folder of a BERT with its masked language modelling head; it predicts words of one "
        "piece",
    )
    mlm_context: str = flag(
        "sentence",
        "what the model sees: the sentence with the word masked (the paper), or the sentence itself after it "
        "too, which keeps nearer to the meaning (TinyBERT's published code)",
        ("sentence", "pair"),
    )
    glove_file: str = flag(
        "",
        "GloVe text file whose neighbours replace words of several pieces; empty: those in a model's own "
        "word embeddings",
    )
    load_teacher_ckpt_path: str = flag(
        "",
        "fine-tuned teacher: its word embeddings give neighbours (default: those of mlm_model), and "
        "filter_with_teacher asks it",
    )
    copies: int = flag(
        20, "N, tries for a copy of each text; equal ones are left out", check=POSITIVE, alias="N"
    )
    probability: float = flag(0.4, "p, the chance of each word to be replaced", check=SHARE, alias="p")
    candidates: int = flag(15, "M, words of which the new one is drawn", check=POSITIVE, alias="M")
    filter_with_teacher: float = flag(
        0.0,
        "keep a copy only if the teacher gives its label at least this probability, and no other one "
        "more (0: keep all)",
        check=SHARE,
    )
    seed: int = flag(1, "of all random choices", check=NOT_NEGATIVE)
    max_seq_length: int = flag(128, "tokens of the context of a masked word", check=POSITIVE)
    batch_size: int = flag(64, "masked words in one call of the model", check=POSITIVE)
    max_rows: int = flag(-1, "read only the first N rows (-1: all)", check=ALL_OR_SOME)
    on_bad_row: str = flag(
        "error", "a malformed row stops the run, or is left out and counted", choices=("error", "skip")
    )
    overwrite_output_file: bool = flag(False, "replace output_file, and parts of another run beside it")


def resolve(argv=None):
    """The command line -> AugmentConfig; copies as the task's recipe says, where no flag does."""
    return parse(AugmentConfig, argv, recipe=_recipe, prog=command_line("augment")).config


def _recipe(known):
    task = find_task(known["task_name"]) if known.get("task_name") else TASKS["SST-2"]
    return task.recipe["augment"]


def main(argv=None):
    """Parse the command line and write the augmented file."""
    config = resolve(argv)
    from ..stages.augmentation.augment import augment

    augment(config)


if __name__ == "__main__":
    run_main(main)
