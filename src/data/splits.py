"""Record folders -> tables of rows and batches, checked against the model that will read them."""

from pathlib import Path

import numpy as np

from ..errors import UserError
from .dataloader import BucketDataLoader, choose_buckets
from .records.io import check_labels, read_records
from .tokenization.tokenizer import load_tokenizer


def read_split(config, path, split):
    """Read one split of the records. Raises UserError for rows beyond `seq_length`."""
    if not path:
        flag = {"train": "train_data_dir", None: "data_dir"}.get(split, "eval_data_dir")
        raise UserError(f"no records: give --{flag}")
    table = read_records(path, config.dataset_type, config.schema_dir, split)
    if config.seq_length and table.max_seq_length > config.seq_length:
        raise UserError(
            f"{path}: the records are {table.max_seq_length} long, longer than seq_length {config.seq_length}"
        )
    return table


def train_table(config, log):
    """The training rows that a TrainConfig asks for."""
    return sample_rows(read_split(config, config.train_data_dir, "train"), config.max_rows, log)


def sample_rows(table, count, log):
    """`count` rows of a table (-1: all), the same ones in every run whatever its seed; said aloud."""
    if count < 0 or count >= table.rows:
        return table
    log(f"only {count} of the {table.rows} training rows are used (--max_rows), a fixed sample")
    chosen = np.random.default_rng(0).choice(table.rows, count, replace=False)
    return table.take(np.sort(chosen))


def check_table(table, bert_config, task, path):
    """Refuse records that the model cannot read: too long rows, ids, segments or labels out of range."""
    if task:
        check_labels(table, task, path)
    if table.max_seq_length > bert_config.max_position_embeddings and not bert_config.use_relative_positions:
        raise UserError(
            f"{path}: the records are {table.max_seq_length} long, the model has "
            f"{bert_config.max_position_embeddings} positions; prepare them with a smaller "
            "--max_seq_length"
        )
    if int(table.tokens.max()) >= bert_config.vocab_size:
        raise UserError(
            f"{path}: token id {int(table.tokens.max())} is beyond the model's vocabulary of "
            f"{bert_config.vocab_size}; the records were made with another vocabulary"
        )
    if int(table.segments.max()) >= bert_config.type_vocab_size:
        raise UserError(
            f"{path}: segment id {int(table.segments.max())} is beyond the model's "
            f"{bert_config.type_vocab_size} token types; prepare the records again"
        )


def make_batches(table, config, batch_size, shuffle, passes=1, ranks=None):
    """Batches of a table in the length buckets that pay for themselves in `passes` epochs.

    With `ranks` (train.distributed.Ranks) those of one rank, `batch_size` rows each.
    """
    length = table.max_seq_length
    buckets = [length]
    if config.length_buckets == "auto":
        buckets = choose_buckets(table.lengths, length, passes=passes)
    place = (ranks.rank, ranks.size) if ranks else (0, 1)
    return BucketDataLoader(table, batch_size, buckets, shuffle, getattr(config, "seed", 0), *place)


def train_batches(table, run, epochs):
    """The training batches of a run's rank."""
    config = run.config
    return make_batches(table, config, config.batch_size, config.do_shuffle, epochs, run.ranks)


def eval_splits(task, path):
    """The evaluation splits to read below `path`: those of the task in a folder, one for files."""
    return list(task.dev_files) if Path(path).is_dir() else ["dev"]


def check_tokenizer(tokenizer_dir, table, path):
    """Stop when the records in `path` were not made with the model's tokenizer, where both are known."""
    made_with = (table.manifest or {}).get("tokenizer")
    if not made_with or not tokenizer_dir:
        return
    settings = load_tokenizer(tokenizer_dir).settings
    differing = [key for key in settings if made_with.get(key) != settings[key]]
    if differing:
        raise UserError(
            f"the records in {path} were made with another tokenizer than that of {tokenizer_dir} "
            f"({differing[0]} is {made_with.get(differing[0])}, not {settings[differing[0]]}); prepare them "
            "with --vocab_file of the model"
        )


def model_tokenizer(files):
    """The tokenizer of a load.ModelFiles. Raises UserError where it has none, or none that fits the model."""
    if files.tokenizer_dir is None:
        raise UserError(f"{files.source.parent} holds no tokenizer files; copy them beside the weights")
    tokenizer = load_tokenizer(files.tokenizer_dir)
    largest = max(tokenizer.vocab.values())
    if largest >= files.config.vocab_size:
        raise UserError(
            f"{files.tokenizer_dir}: the vocabulary has the id {largest}, the model beside it "
            f"{files.config.vocab_size} word embeddings; put the model's own tokenizer there"
        )
    return tokenizer
