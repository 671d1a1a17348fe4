"""python -m src.tools.prepare_corpus: convert raw text to record files for general distillation."""

from ..signals import exit_on_signals

if __name__ == "__main__":
    exit_on_signals()

import dataclasses
from collections.abc import Sequence

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import RecordsOutputConfig
from ..config.fields import NOT_NEGATIVE, POSITIVE, SHARE, flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class PrepareCorpusConfig(RecordsOutputConfig):
    """Convert raw text to TFRecord or MindRecord files for general distillation."""

    input: str = required_flag("text file, folder, quoted glob, or a comma-separated list of these")
    text_format: str = flag(
        "auto",
        "plain (one sentence or paragraph per line, a blank line between documents), wikiextractor (<doc> "
        "blocks), json (its --json lines), wikitext (= Title = headings); auto: from each file's first line",
        choices=("auto", "plain", "wikiextractor", "json", "wikitext"),
    )
    max_seq_length: int = flag(128, "sequence length, with [CLS] and [SEP]")
    short_seq_prob: float = flag(0.1, "probability of a shorter sequence, of random length", check=SHARE)
    masked_lm_prob: float = flag(
        0.0,
        "fraction of masked tokens; 0.15 as in TinyBERT's first general model, 0 as in its second",
        check=SHARE,
    )
    epochs_to_generate: int = flag(
        1,
        "passes over the text, each with its own splits, short sequences and masks; every shard has all",
        check=POSITIVE,
    )
    on_bad_line: str = flag("error", "malformed lines: error, or skip and count them", ("error", "skip"))
    num_shards: int = flag(8, "total number of record files", check=POSITIVE)
    shard_index: int = flag(0, "part of the job for this process: 0 to shard_count - 1", check=NOT_NEGATIVE)
    shard_count: int = flag(1, "parts of a cluster job, which share one output_dir", check=POSITIVE)
    workers: int = flag(
        0, "worker processes, each writing one shard at a time (0: one per core)", check=NOT_NEGATIVE
    )
    seed: int = flag(1, "random seed", check=NOT_NEGATIVE)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the records."""
    config = parse(PrepareCorpusConfig, argv, prog=command_line("prepare_corpus")).config
    from ..stages.preparation.prepare_corpus import prepare_corpus

    prepare_corpus(config)


if __name__ == "__main__":
    run_main(main)
