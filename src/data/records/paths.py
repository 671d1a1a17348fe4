"""Resolves data flags to record files: a file, a comma-separated list of files, or a folder."""

import re
from pathlib import Path

from ...config.task.from_records import MANIFEST_FILE
from ...errors import UserError
from ...files import is_file, split_paths
from . import mindrecord as mindrecord_files
from . import tfrecord as tfrecord_files

SCHEMA_FILE = "schema.json"
# Settings of prepare_corpus; the manifest is written when all shards are finished.
JOB_FILE = "job.json"
TFRECORD_NAME = re.compile(r"\.?tf_?records?", re.IGNORECASE)
# Alternative split names: Google BERT's run_classifier.py writes train, eval and predict; the dev set of MNLI
# is the matched one unless the other is requested.
OTHER_NAMES = {"dev": ("eval", "dev_matched"), "test": ("predict",)}
SPLITS = (
    "train",
    "dev",
    "dev_matched",
    "dev_mismatched",
    "test",
    "test_matched",
    "test_mismatched",
    "test_diagnostic",
    "eval",
    "predict",
)
# Files that prepare writes for each split; a MindRecord file has an index.
SUFFIXES = ("tfrecord", "mindrecord", "mindrecord.db")
SPLIT_FILES = tuple(f"{split}.{suffix}" for split in SPLITS for suffix in SUFFIXES)


def record_files(paths: str | Path, dataset_type: str, split: str | None = None) -> list[Path]:
    """Record files that `paths` refers to, in order.

    From a folder the files of `split` (`dev.tfrecord`, shards `dev-00000-of-00002.tfrecord`), or all of them
    if none is named after a split. Raises UserError when there is none.
    """
    found: list[Path] = []
    for path in map(Path, split_paths(paths)):
        if path.is_dir():
            found += _in_folder(path, dataset_type, split)
        elif is_file(path):
            found.append(path)
        else:
            raise UserError(f"record file {path} does not exist")
    return found


def _in_folder(folder: Path, dataset_type: str, split: str | None) -> list[Path]:
    if (folder / JOB_FILE).is_file() and not (folder / MANIFEST_FILE).is_file():
        raise UserError(f"{folder} is not finished: prepare_corpus has shards left to write; run it again")
    records = sorted(path for path in folder.iterdir() if path.is_file() and _is_record(path, dataset_type))
    if not records:
        other = "mindrecord" if dataset_type == "tfrecord" else "tfrecord"
        hint = (
            f"; it holds {other} files: give --dataset_type {other}"
            if any(_is_record(path, other) for path in folder.iterdir())
            else ""
        )
        raise UserError(f"{folder} holds no {dataset_type} files{hint}")
    if split is None:
        return records
    for name in (split, *OTHER_NAMES.get(split, ())):
        chosen = [path for path in records if _is_split(path, name)]
        if chosen:
            return chosen
    named = [path.name for path in records if any(_is_split(path, name) for name in SPLITS)]
    if named:
        raise UserError(f"{folder} holds no {split} records; it holds {', '.join(named)}")
    return records


def _is_record(path: Path, dataset_type: str) -> bool:
    if not path.is_file() or path.name.startswith("."):
        return False
    if dataset_type == "mindrecord":
        return mindrecord_files.index_of(path).is_file()
    return bool(TFRECORD_NAME.search(path.name)) or (
        path.suffix not in (".json", ".txt", ".db", ".mindrecord") and tfrecord_files.looks_like(path)
    )


def _is_split(path: Path, split: str) -> bool:
    """True for the file `split.<suffix>` and its numbered shards."""
    stem = path.name.split(".")[0]
    return stem == split or re.fullmatch(rf"{split}[-_]?\d+([-_]of[-_]\d+)?", stem) is not None
