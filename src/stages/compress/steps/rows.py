"""The rows of a compression run: training rows, and two halves of dev, to choose by and to report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ....config.bert_config import BertConfig
from ....config.cli import Resolved
from ....config.task.custom import FIELDS
from ....config.task.file import read_task_file
from ....config.task.from_records import task_for
from ....config.train_config import TrainConfig
from ....data import splits
from ....data.dataset import TokenizedDataset
from ....data.records.io import record_digests, schema_of, write_records
from ....data.records.paths import MANIFEST_FILE, SCHEMA_FILE
from ....data.tokenization.tokenizer import load_tokenizer
from ....digests import sha256
from ....errors import UserError
from ....files import split_paths, write_json
from ....output_dir import atomic_output_dir
from ....tasks import TASKS, TaskSpec, task_key
from ....weights.huggingface import tokenizer_files
from ....weights.reader import CONFIG_FILES, find_weight_file
from ...preparation.checks import row_keys
from ...preparation.prepare import WRITTEN as RECORD_FILES
from .runner import Step
from .workspace import HALVES, Workspace

if TYPE_CHECKING:
    from ....tools.compress import CompressConfig

MIN_ROWS = 8  # of dev
MORE_TOKENS = 1.02  # ratio from which on a smaller vocabulary is warned of
# Flags of prepare that a custom task does not have.
PREPARE_FLAGS = ("task_file", "data_dir", "on_bad_row", "dataset_type")
RECORD_FLAGS = ("task_name", "dataset_type")  # of those that records have too
SOME_ROWS = (
    "give --train_file with --text_columns and --label_column, --task_name with --data_dir, "
    "--unlabelled_file, or records with --train_data_dir"
)


@dataclasses.dataclass(frozen=True)
class Rows:
    """The task and its rows.

    `paths` {"train", "choose", "report"} are the records of commands, `datasets` the same in memory. Where
    `labeled` is false, the labels of both halves are predictions of the given model. `places` are the rows
    of dev in each half.
    """

    task: TaskSpec
    labeled: bool
    paths: Mapping[str, str]
    datasets: Mapping[str, TokenizedDataset]
    task_flags: Mapping[str, str]
    places: tuple[np.ndarray, np.ndarray]
    warnings: tuple[str, ...] = ()


def prepare_step(
    resolved: Resolved[CompressConfig], model: BertConfig, workspace: Workspace, vocabulary: str = ""
) -> Step | None:
    """The step that turns text into records; None where records are given.

    `vocabulary` is the folder of a model with a smaller vocabulary, of which records are wanted. Raises
    UserError for flags that name no rows, or both text and records.
    """
    config, origins = resolved.config, resolved.origins
    given = {name: getattr(config, name) for name in FIELDS if origins[name] == "command line"}
    given |= {name: getattr(config, name) for name in PREPARE_FLAGS if origins[name] == "command line"}
    if config.train_data_dir:
        text = [name for name in given if name not in RECORD_FLAGS]
        if text:
            raise UserError(
                f"--train_data_dir and --{text[0]} are mutually exclusive: give records, or text; what "
                "records have is chosen when prepare writes them"
            )
        return None
    if config.test_file:
        raise UserError("--test_file: compress reports on evaluation rows alone; give them with --dev_file")
    if config.eval_data_dir:
        raise UserError("--eval_data_dir requires --train_data_dir; text rows come with --dev_file")
    described = config.task_file or config.text_columns or config.by_word
    if not (described or config.task_name or config.unlabelled_file):
        needed = "add --text_columns and --label_column" if config.train_file else SOME_ROWS
        raise UserError(f"no rows to compress with: {needed}")
    splits_dev = not (config.dev_file or config.data_dir or config.task_file)  # a task file has its own share
    if splits_dev and (described or config.unlabelled_file):
        given["dev_share"] = config.dev_share
    positions = model.max_position_embeddings
    if config.max_seq_length > positions and not model.use_relative_positions:
        raise UserError(f"--max_seq_length {config.max_seq_length}: the model has {positions} positions")
    if not config.max_seq_length and positions < 128 and not model.use_relative_positions:
        given["max_seq_length"] = min(positions, 64)
    output = workspace.records(bool(vocabulary))
    flags = {**given, "vocab_file": vocabulary or config.model_dir, "output_dir": output}
    return Step("prepare-vocabulary" if vocabulary else "prepare", "prepare", flags, output, 5.0)


def input_files(config: CompressConfig) -> list[Path]:
    """The files of the rows and models that the flags and a task file name. Raises UserError for a missing
    one."""
    named = [config.train_file, config.dev_file, config.task_file, *config.unlabelled_file]
    if config.task_file and Path(config.task_file).is_file():
        described = read_task_file(config.task_file, FIELDS).values
        named += [described.get("train_file", ""), described.get("dev_file", "")]
        named += described.get("unlabelled_file", ())
    folders = [config.data_dir, config.train_data_dir, config.eval_data_dir]
    files = _model_files(config.model_dir)
    if config.load_gd_ckpt_path:
        files += _model_files(config.load_gd_ckpt_path)
    for path in (Path(part) for text in (*named, *folders) for part in split_paths(text)):
        if path.is_dir():
            files += sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"{path} does not exist")
    return files


def _model_files(path: str) -> list[Path]:
    """The files of weights, config and tokenizer of a model."""
    weights = find_weight_file(path)
    folder = weights.parent
    files = [weights, *sorted(folder.glob("*-of-*")), *(folder / name for name in CONFIG_FILES)]
    return [file for file in (*files, *tokenizer_files(folder)) if file.is_file()]


def input_hashes(config: CompressConfig) -> dict[str, str]:
    """{file: SHA-256} of `input_files`."""
    return {str(path): sha256(path) for path in dict.fromkeys(input_files(config))}


def task_of_rows(config: CompressConfig, workspace: Workspace) -> tuple[TaskSpec, dict[str, str]]:
    """The task of the records, and the flags that name it; a custom task is in their manifest."""
    train = config.train_data_dir or str(workspace.records())
    described = config.task_file or config.text_columns or config.by_word or config.unlabelled_file
    built_in = task_key(config.task_name) in map(task_key, TASKS)
    named = {"task_name": config.task_name} if built_in or config.task_name and not described else {}
    return task_for({"train_data_dir": train, "eval_data_dir": config.eval_data_dir or train, **named}), named


def read_rows(
    config: CompressConfig,
    workspace: Workspace,
    predicted: Callable[[TaskSpec, TokenizedDataset], np.ndarray],
) -> Rows:
    """Read the records and write the two halves of dev.

    `predicted(task, dataset)` are labels that the given model predicts, for a dev without any. Raises
    UserError for records that do not fit.
    """
    train = config.train_data_dir or str(workspace.records())
    dev = config.eval_data_dir or train
    task, named = task_of_rows(config, workspace)
    names = splits.eval_splits(task, dev)
    train_rows, whole = _read(config, train, "train"), _read(config, dev, names[0])
    labeled = bool(whole.labeled.any())
    if labeled:
        whole = whole.take(np.flatnonzero(whole.labeled))
    else:
        whole = dataclasses.replace(whole, labels=predicted(task, whole))
    if whole.rows < MIN_ROWS:
        raise UserError(f"{dev} has {whole.rows} evaluation rows; at least {MIN_ROWS} are required")
    warnings = _overlap(train_rows, whole) if config.train_data_dir else []  # else prepare counts them
    if len(names) > 1:
        warnings.append(f"only the rows of {names[0]} are used, not those of {names[1]}")
    places = split_halves(whole, config.seed)
    halves = {name: whole.take(place) for name, place in zip(HALVES, places, strict=True)}
    paths = write_halves(halves, workspace.halves(), config.dataset_type, not labeled)
    datasets = {"train": train_rows, **halves}
    return Rows(task, labeled, {"train": train, **paths}, datasets, named, places, tuple(warnings))


def vocabulary_rows(config: CompressConfig, workspace: Workspace, rows: Rows) -> Rows:
    """The same rows as ids of a smaller vocabulary, from the records of `prepare_step(vocabulary=...)`."""
    folder = str(workspace.records(vocabulary=True))
    whole = _read(config, folder, splits.eval_splits(rows.task, folder)[0])
    if rows.labeled:
        whole = whole.take(np.flatnonzero(whole.labeled))
    halves = {name: whole.take(place) for name, place in zip(HALVES, rows.places, strict=True)}
    if not rows.labeled:
        halves = {
            name: dataclasses.replace(half, labels=rows.datasets[name].labels)
            for name, half in halves.items()
        }
    folder_of_halves = workspace.halves(vocabulary=True)
    paths = write_halves(halves, folder_of_halves, config.dataset_type, not rows.labeled)
    datasets = {"train": _read(config, folder, "train"), **halves}
    return dataclasses.replace(rows, paths={"train": folder, **paths}, datasets=datasets)


def unknown_words(rows: Rows, smaller: Rows) -> str | None:
    """A warning where a smaller vocabulary splits the evaluation rows into more tokens: a word that no
    training row has falls into pieces that the model knows less of."""
    before, after = (
        sum(int(each.datasets[half].lengths.sum()) for half in HALVES) for each in (rows, smaller)
    )
    if after <= MORE_TOKENS * before:
        return None
    return (
        f"the smaller vocabulary splits the evaluation rows into {after / before - 1:.0%} more tokens: the "
        "training rows lack some of their words; add texts with --unlabelled_file"
    )


def _read(config: CompressConfig, path: str, split: str) -> TokenizedDataset:
    return splits.read_split(TrainConfig(dataset_type=config.dataset_type), path, split)


def split_halves(dataset: TokenizedDataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of two halves of a dataset, stratified by class or score: of each two rows that are neighbors
    in the order of labels one goes to each half. The same rows and seed give the same halves."""
    rows, rng = dataset.rows, np.random.default_rng(seed)
    key = np.zeros(rows)
    if dataset.labels is not None and dataset.labels.ndim == 1 and not dataset.labels_by_token:
        key = dataset.labels
    order = np.lexsort((rng.random(rows), key))
    pairs = np.arange(rows) // 2
    flip = rng.integers(0, 2, pairs[-1] + 1)[pairs]
    first = (np.arange(rows) + flip) % 2 == 0
    return np.sort(order[first]), np.sort(order[~first])


def write_halves(
    halves: Mapping[str, TokenizedDataset], folder: Path, kind: str, predicted: bool = False
) -> dict[str, str]:
    """Write the halves as record files with a manifest of their own; returns {half: file}.

    `predicted` notes that their labels are the given model's predictions.
    """
    written = (*RECORD_FILES, *(f"{half}.*" for half in halves))
    files, manifest = {}, None
    with atomic_output_dir(folder, folder.exists(), (), written) as temporary:
        for half, dataset in halves.items():
            file, manifest = temporary / f"{half}.{kind}", dataset.manifest
            write_records(file, dataset, kind)
            files[half] = {"file": file.name, "rows": dataset.rows, "sha256": record_digests(file)}
            write_json(temporary / SCHEMA_FILE, schema_of(dataset))
        if manifest:
            noted = {splits.PREDICTED: True} if predicted else {}
            write_json(temporary / MANIFEST_FILE, {**manifest, **noted, "files": files})
    return {half: str(folder / f"{half}.{kind}") for half in halves}


def _overlap(train: TokenizedDataset, dev: TokenizedDataset) -> list[str]:
    known = set(row_keys(train))
    both = sum(key in known for key in row_keys(dev))
    if not both:
        return []
    return [
        f"{both:,} of the {dev.rows:,} evaluation rows are also training rows: a student that learned them "
        "looks better than it is; remove them from the training rows"
    ]


def texts_of(dataset: TokenizedDataset, model_dir: str) -> list[str]:
    """The texts of a dataset, decoded from their tokens by the model's tokenizer."""
    tokenizer = load_tokenizer(model_dir)
    rows = zip(dataset.by_row(dataset.tokens), dataset.by_row(dataset.segments), strict=True)
    return [
        " | ".join(tokenizer.decode(ids[part == segment]) for segment in np.unique(part))
        for ids, part in rows
    ]
