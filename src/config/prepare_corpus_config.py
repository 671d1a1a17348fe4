"""Flags of `python -m src.tools.prepare_corpus`."""

import dataclasses

from .fields import NOT_NEGATIVE, POSITIVE, SHARE, option, required
from .records_output_config import RecordsOutputConfig


@dataclasses.dataclass(frozen=True)
class PrepareCorpusConfig(RecordsOutputConfig):
    """Turn raw text into TFRecord or MindRecord files for general distillation."""

    input: str = required("text file, folder, glob in quotes, or a comma list of these")
    text_format: str = option(
        "auto",
        "plain (a sentence or paragraph a line, a blank line between documents), wikiextractor (<doc> "
        "blocks), json (its --json lines), wikitext (= Title = headings); auto: by each file's first line",
        choices=("auto", "plain", "wikiextractor", "json", "wikitext"),
    )
    max_seq_length: int = option(128, "tokens a row, with [CLS] and [SEP]")
    short_seq_prob: float = option(
        0.1, "share of the rows that are ended early, at a length drawn at random", must=SHARE
    )
    masked_lm_prob: float = option(
        0.0,
        "share of the tokens masked; 0.15 as in TinyBERT's first general model, 0 as in its second",
        must=SHARE,
    )
    epochs_to_generate: int = option(
        1,
        "passes over the text, each with its own parts, short rows and masks; each shard holds them all",
        must=POSITIVE,
    )
    on_bad_line: str = option(
        "error", "a malformed line stops the run, or is left out and counted", choices=("error", "skip")
    )
    num_shards: int = option(8, "record files in all", must=POSITIVE)
    shard_index: int = option(
        0, "which part of the job this process does: 0 to shard_count - 1", must=NOT_NEGATIVE
    )
    shard_count: int = option(
        1, "parts of the job, for a cluster; all of them write to the same output_dir", must=POSITIVE
    )
    workers: int = option(
        0, "shards that are made at the same time, a process each; 0: one for each core", must=NOT_NEGATIVE
    )
    seed: int = option(1, "seed of the random choices", must=NOT_NEGATIVE)
