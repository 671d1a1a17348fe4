"""python -m src.tools.prepare_corpus: raw text -> record files for general distillation."""

import dataclasses

from ..commands import command_line
from ..config.cli import parse
from ..config.data_config import RecordsOutputConfig
from ..config.fields import NOT_NEGATIVE, POSITIVE, SHARE, flag, required_flag
from ..errors import run_main


@dataclasses.dataclass(frozen=True)
class PrepareCorpusConfig(RecordsOutputConfig):
    """Turn raw text into TFRecord or MindRecord files for general distillation."""

    input: str = required_flag("text file, folder, glob in quotes, or a comma list of these")
    text_format: str = flag(
        "auto",
        "plain (a sentence or paragraph a line, a blank line between documents), wikiextractor (<doc> "
        "blocks), json (its --json lines), wikitext (= Title = headings); auto: by each file's first line",
        choices=("auto", "plain", "wikiextractor", "json", "wikitext"),
    )
    max_seq_length: int = flag(128, "tokens a row, with [CLS] and [SEP]")
    short_seq_prob: float = flag(
        0.1, "share of the rows that are ended early, at a length drawn at random", check=SHARE
    )
    masked_lm_prob: float = flag(
        0.0,
        "share of the tokens masked; 0.15 as in TinyBERT's first general model, 0 as in its second",
        check=SHARE,
    )
    epochs_to_generate: int = flag(
        1,
        "passes over the text, each with its own parts, short rows and masks; each shard holds them all",
        check=POSITIVE,
    )
    on_bad_line: str = flag(
        "error", "a malformed line stops the run, or is left out and counted", choices=("error", "skip")
    )
    num_shards: int = flag(8, "record files in all", check=POSITIVE)
    shard_index: int = flag(
        0, "which part of the job this process does: 0 to shard_count - 1", check=NOT_NEGATIVE
    )
    shard_count: int = flag(
        1, "parts of the job, for a cluster; all of them write to the same output_dir", check=POSITIVE
    )
    workers: int = flag(
        0, "shards that are made at the same time, a process each; 0: one for each core", check=NOT_NEGATIVE
    )
    seed: int = flag(1, "seed of the random choices", check=NOT_NEGATIVE)


def main(argv=None):
    """Parse the command line and prepare the records."""
    config = parse(PrepareCorpusConfig, argv, prog=command_line("prepare_corpus")).config
    from ..stages.preparation.prepare_corpus import prepare_corpus

    prepare_corpus(config)


if __name__ == "__main__":
    run_main(main)
