"""Folders -> objects: records as batches, model folders as networks."""

import dataclasses
from pathlib import Path

import numpy as np

from src.config.bert_config import BertConfig
from src.config.student_config import RATES, with_rates
from src.data.dataset import Batches, choose_buckets
from src.data.records import check_labels, read_records
from src.data.tokenization import load_tokenizer
from src.errors import UserError
from src.infer.huggingface import fit_head, tokenizer_files, without_extras
from src.infer.weight_files import read_weights
from src.model.bert import BertClassifier
from src.model.loading import load_strict

HEAD = "classifier."


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """A model on disk: its config, weights {Hugging Face name: array}, folder and what was set aside."""

    config: BertConfig
    arrays: dict
    source: Path

    @property
    def tokenizer_dir(self):
        """The folder beside the weights when it holds tokenizer files, else None."""
        folder = Path(self.source).parent
        return folder if tokenizer_files(folder) else None


def read_model(path, say, zoo_config=None, part=None):
    """Read a model folder or weight file; `zoo_config` describes a .ckpt without config.json."""
    weights = read_weights(path, part)
    if weights.config_file is None and zoo_config is None:
        raise UserError(
            f"{weights.source} has no config.json beside it; run python -m src.tools.convert with "
            "--config_file first"
        )
    config = BertConfig.from_json(weights.config_file) if weights.config_file else zoo_config
    config, note = fit_head(config, weights.arrays)
    said = f"{weights.source}: {note}" if note else ""
    if weights.set_aside:
        said += f"{weights.source}: set aside {', '.join(sorted(weights.set_aside)[:6])}" + (
            f" and {len(weights.set_aside) - 6} more" if len(weights.set_aside) > 6 else ""
        )
    if said:
        say(said)
    return ModelFiles(config, weights.arrays, weights.source)


def classifier_from(files, task_labels, task, device, say, fresh_head=False, **changes):
    """A BertClassifier with the weights of `files`; a head of other labels is new, which is said aloud.

    Returns (network, config). Raises UserError when a weight has no partner, or when the head is missing or
    of other labels and `fresh_head` is False.
    """
    config = files.config.replace(
        labels=task_labels,
        output_mode=task.output_mode,
        dtype=device.dtype,
        compute_type=device.compute_type,
        **changes,
    )
    same_head = (
        files.config.num_labels == config.num_labels
        and files.config.output_mode == config.output_mode
        and f"{HEAD}weight" in files.arrays
    )
    if not same_head and not fresh_head:
        raise UserError(
            f"{files.source} has no head for {task.name} ({config.num_labels} outputs); fine-tune it first "
            "with run_finetune.py"
        )
    arrays = without_extras(files.arrays)
    if not same_head:
        arrays = {name: array for name, array in arrays.items() if not name.startswith(HEAD)}
    network = BertClassifier(config)
    new = load_strict(network, arrays, files.source, fresh=(HEAD,) if fresh_head else ())
    if new:
        say(f"{files.source}: the head is new ({', '.join(new)})")
    return network, config


def dropout_rates(model_config, values):
    """The dropout rates of a model on disk, changed by the flags that give one."""
    config = with_rates(model_config, values)
    return {name: getattr(config, name) for name in RATES}


def label_order(model_labels, task, source, say):
    """For each label of the task the model's output of that name; LABEL_0 .. or none means by position.

    Raises UserError when the names do not match.
    """
    if task.output_mode == "regression" or tuple(model_labels) == tuple(task.labels):
        return tuple(range(max(len(task.labels), 1)))
    generic = all(str(name).upper() == f"LABEL_{i}" for i, name in enumerate(model_labels))
    if len(model_labels) != len(task.labels) or not (generic or set(model_labels) == set(task.labels)):
        raise UserError(
            f"{source} has the labels {', '.join(map(str, model_labels))}; {task.name} has "
            f"{', '.join(task.labels)}"
        )
    if generic:
        say(
            f"{source}: labels by position: "
            + ", ".join(f"{name} = {label}" for name, label in zip(model_labels, task.labels, strict=True))
        )
        return tuple(range(len(task.labels)))
    return tuple(list(model_labels).index(label) for label in task.labels)


def read_split(config, path, split):
    """Read one split of the records. Raises UserError for rows beyond `seq_length`."""
    if not path:
        raise UserError(f"no {split} records: give --{'train' if split == 'train' else 'eval'}_data_dir")
    table = read_records(path, config.dataset_type, config.schema_dir, split)
    if config.seq_length and table.max_seq_length > config.seq_length:
        raise UserError(
            f"{path}: the records are {table.max_seq_length} long, longer than seq_length {config.seq_length}"
        )
    return table


def train_table(config, say):
    """The training rows that a TrainConfig asks for."""
    return sample_rows(read_split(config, config.train_data_dir, "train"), config.max_rows, say)


def sample_rows(table, count, say):
    """`count` rows of a table (-1: all), the same ones in every run whatever its seed; said aloud."""
    if count < 0 or count >= table.rows:
        return table
    say(f"only {count} of the {table.rows} training rows are used (--max_rows), a fixed sample")
    chosen = np.random.default_rng(0).choice(table.rows, count, replace=False)
    return table.take(np.sort(chosen))


def check_table(table, bert_config, task, path):
    """Refuse records that the model cannot read: rows beyond its positions, ids or labels out of range."""
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


def make_batches(table, config, batch_size, shuffle, passes=1):
    """Batches of a table in the length buckets that pay for themselves in `passes` epochs."""
    length = table.max_seq_length
    buckets = [length]
    if config.length_buckets == "auto":
        buckets = choose_buckets(table.lengths, length, passes=passes)
    return Batches(table, batch_size, buckets, shuffle, getattr(config, "seed", 0))


def eval_splits(task, path):
    """The evaluation splits to read below `path`: those of the task in a folder, one for files."""
    return list(task.dev_files) if Path(path).is_dir() else ["dev"]


def check_tokenizer(files, table, path):
    """Stop when the records were made with another tokenizer than the model's."""
    made_with = (table.manifest or {}).get("tokenizer")
    if not made_with or not files.tokenizer_dir:
        return
    settings = load_tokenizer(files.tokenizer_dir).settings
    differing = [key for key in settings if made_with.get(key) != settings[key]]
    if differing:
        raise UserError(
            f"the records in {path} were made with another tokenizer than that of {files.source} "
            f"({differing[0]} is {made_with.get(differing[0])}, not {settings[differing[0]]}); prepare them "
            "with --vocab_file of the model"
        )


def records_tokenizer(vocab_dir, records):
    """The folder with the tokenizer files of a fresh student: `vocab_dir`, else that of the records."""
    folder = Path(vocab_dir or records)
    folder = folder if folder.is_dir() else folder.parent
    if not tokenizer_files(folder):
        raise UserError(f"{folder} holds no tokenizer files; give --vocab_dir")
    return folder
