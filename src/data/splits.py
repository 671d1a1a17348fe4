"""Record folders -> datasets and data loaders, checked against the models that will read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..commands import command_line
from ..errors import UserError
from .dataloader import BucketDataLoader, choose_buckets
from .dataset import TokenizedDataset, check_segments
from .records.io import check_labels, read_records
from .tokenization.settings import differing_setting
from .tokenization.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from ..config.bert_config import BertConfig
    from ..config.train_config import FormatConfig
    from ..stages.training.run import Run
    from ..tasks import TaskSpec
    from ..train.distributed import Ranks

PREDICTED = "predicted_labels"  # in a manifest
ModelInput = tuple["BertConfig", "Path | None"]  # a model's config and the folder of its tokenizer


def train_loaders(
    run: Run,
    folders: Sequence[str],
    models: Sequence[ModelInput],
    epochs: int,
    split: str | None = "train",
    needs_labels: bool = False,
) -> list[BucketDataLoader]:
    """The training batches of each phase, for this rank of the run.

    `folders` are the records of each phase; a folder that occurs twice is read once, and its phases share the
    loader. Rows are sampled as --max_rows says and checked against every one of `models`; the length buckets
    are those that pay for their compilation within `epochs`. With `needs_labels` rows without one are left
    out.
    """
    config, loaders = run.config, {}
    for folder in dict.fromkeys(folders):
        dataset = read_split(config, folder, split)
        if needs_labels:
            dataset = labeled_rows(dataset, folder, run.logger.info)
        dataset = sample_rows(dataset, config.max_rows, run.logger.info)
        check_models(dataset, models, run.task, folder)
        loaders[folder] = make_loader(
            dataset, config, config.batch_size, config.do_shuffle, epochs, run.ranks
        )
    return [loaders[folder] for folder in folders]


def read_split(config: FormatConfig, path: str, split: str | None) -> TokenizedDataset:
    """Read one split of the records. Raises UserError for rows beyond `seq_length`."""
    if not path:
        flag = {"train": "train_data_dir", None: "data_dir"}.get(split, "eval_data_dir")
        raise UserError(f"no records: give --{flag}")
    dataset = read_records(path, config.dataset_type, config.schema_dir, split)
    if config.seq_length and dataset.max_seq_length > config.seq_length:
        raise UserError(
            f"{path}: the records are {dataset.max_seq_length} long, longer than seq_length "
            f"{config.seq_length}"
        )
    return dataset


def sample_rows(dataset: TokenizedDataset, count: int, log: Callable[[str], None]) -> TokenizedDataset:
    """A sample of `count` rows (-1: all), the same in every run whatever its seed; logged."""
    if count < 0 or count >= dataset.rows:
        return dataset
    log(f"only {count} of the {dataset.rows} training rows are used (--max_rows), a fixed sample")
    chosen = np.random.default_rng(0).choice(dataset.rows, count, replace=False)
    return dataset.take(np.sort(chosen))


def labeled_rows(dataset: TokenizedDataset, path: str, log: Callable[[str], None]) -> TokenizedDataset:
    """The rows that have a label; how many have none is logged. Raises UserError where all have none."""
    known = dataset.labeled
    if not known.any():
        raise UserError(
            f"{path}: none of the {dataset.rows} rows has a label, which is needed here; without labels, "
            f"texts can be distilled from a teacher ({command_line('task_distill')}) and predicted"
        )
    if known.all():
        return dataset
    log(f"{path}: {int(known.sum())} rows have a label; {int((~known).sum())} have none and are left out")
    return dataset.take(np.flatnonzero(known))


def labels_are_predicted(dataset: TokenizedDataset) -> bool:
    """Whether the labels are the predictions of a model, as compress writes them where rows have none."""
    return bool((dataset.manifest or {}).get(PREDICTED))


def check_models(
    dataset: TokenizedDataset, models: Sequence[ModelInput], task: TaskSpec | None, path: str
) -> None:
    """Raise UserError where one of the models cannot read the records in `path`."""
    for _, tokenizer_dir in models:
        check_tokenizer(tokenizer_dir, dataset, path)
    for config, _ in models:
        check_dataset(dataset, config, task, path)


def check_dataset(
    dataset: TokenizedDataset, bert_config: BertConfig, task: TaskSpec | None, path: str
) -> None:
    """Raise UserError for rows that are too long for the model, and ids, segments or labels out of range."""
    if task:
        check_labels(dataset, task, path)
    positions = bert_config.max_position_embeddings
    if dataset.max_seq_length > positions and not bert_config.use_relative_positions:
        raise UserError(
            f"{path}: the records are {dataset.max_seq_length} long, the model has {positions} positions; "
            "prepare them with a smaller --max_seq_length"
        )
    if int(dataset.tokens.max()) >= bert_config.vocab_size:
        raise UserError(
            f"{path}: token id {int(dataset.tokens.max())} is beyond the model's vocabulary of "
            f"{bert_config.vocab_size}; the records were made with another vocabulary"
        )
    check_segments(dataset, bert_config, path)


def check_tokenizer(tokenizer_dir: Path | None, dataset: TokenizedDataset, path: str) -> None:
    """Raise UserError where the records in `path` were made with another tokenizer, if both are known."""
    record_settings = (dataset.manifest or {}).get("tokenizer")
    if not record_settings or not tokenizer_dir:
        return
    settings = load_tokenizer(tokenizer_dir).settings
    differing = differing_setting(settings, record_settings)
    if differing:
        raise UserError(
            f"the records in {path} were made with another tokenizer than that of {tokenizer_dir} "
            f"({differing} is {record_settings.get(differing)}, not {settings.get(differing)}); prepare "
            "them with --vocab_file of the model"
        )


def make_loader(
    dataset: TokenizedDataset,
    config: FormatConfig,
    batch_size: int,
    shuffle: bool,
    epochs: int = 1,
    ranks: Ranks | None = None,
) -> BucketDataLoader:
    """A loader with the length buckets that pay for their compilation within `epochs`.

    With `ranks` it yields the batches of one rank, `batch_size` rows each.
    """
    length = dataset.max_seq_length
    buckets = [length]
    if config.length_buckets == "auto":
        buckets = choose_buckets(dataset.lengths, length, epochs=epochs)
    rank, rank_size = (ranks.rank, ranks.size) if ranks else (0, 1)
    return BucketDataLoader(
        dataset, batch_size, buckets, shuffle, getattr(config, "seed", 0), rank, rank_size
    )


def eval_splits(task: TaskSpec, path: str) -> list[str]:
    """The evaluation splits to read in `path`: those of the task in a folder, one for files."""
    return list(task.dev_files) if Path(path).is_dir() else ["dev"]
