"""python -m src.tools.prune: remove layers, heads, feed-forward neurons or tokens from a fine-tuned model."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import RecordsConfig
from ..config.fields import NOT_NEGATIVE, POSITIVE, flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class PruneConfig(RecordsConfig):
    """Prune a fine-tuned model without a corpus: what matters least for its loss on records is removed."""

    model_dir: str = required_flag("fine-tuned model folder, not quantized")
    output_dir: str = required_flag("output folder for the pruned model")
    layers: str = flag("", 'layers to keep, from 0: "0,2,5"')
    num_layers: int = flag(
        0,
        "number of layers to keep: the one whose removal changes the logits least goes, again and again",
        check=NOT_NEGATIVE,
    )
    num_heads: int = flag(
        0, "attention heads to keep in each layer, the most important ones", check=NOT_NEGATIVE
    )
    intermediate_size: float = flag(
        0.0,
        "feed-forward neurons to keep in each layer, the most important: a number, or a fraction below 1",
        check=NOT_NEGATIVE,
    )
    train_data_dir: str = flag(
        "", "records of the model's task on which importance is measured (the train split)", group="data"
    )
    importance_rows: int = flag(
        512, "rows of train_data_dir to use, a fixed random sample", check=POSITIVE, group="data"
    )
    importance_batch_size: int = flag(
        8, "rows whose gradients are summed before their magnitude is taken", check=POSITIVE, group="data"
    )
    vocabulary_from: str = flag(
        "",
        "keep only tokens of these texts, besides special tokens and single characters: text files (one text "
        "per line, or two separated by a tab) or record folders, separated by commas",
        group="data",
    )
    heldout_file: str = flag(
        "", "text file on which the share of unknown tokens is printed, with vocabulary_from", group="data"
    )
    overwrite_output_dir: bool = flag(False, "delete files that an earlier run wrote to output_dir")


def main(argv: Sequence[str] | None = None) -> None:
    """Prune the model."""
    config = parse(PruneConfig, argv, prog=command_line("prune")).config
    from ..stages.pruning.prune import prune

    prune(config)


if __name__ == "__main__":
    run_main(main)
