"""Which record files a data flag means: a file, a comma list of files, or a folder."""

import re
from pathlib import Path

from ...config.task.from_records import MANIFEST_FILE
from ...errors import UserError
from ...files import split_paths
from . import mindrecord as mindrecord_files
from . import tfrecord as tfrecord_files

SCHEMA_FILE = "schema.json"
# What prepare_corpus has to make; the manifest comes when all of it is made.
JOB_FILE = "job.json"
TFRECORD_NAME = re.compile(r"\.?tf_?records?", re.IGNORECASE)
# Other names of a split: Google BERT's run_classifier.py calls its files train, eval and predict; of MNLI's
# two dev sets the matched one stands for both where one is asked for.
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
# What prepare writes of the splits; a MindRecord file has an index beside it.
SUFFIXES = ("tfrecord", "mindrecord", "mindrecord.db")
SPLIT_FILES = tuple(f"{split}.{suffix}" for split in SPLITS for suffix in SUFFIXES)


def record_files(paths, dataset_type, split=None):
    """The record files meant by `paths`, in order.

    In a folder the files of `split` are taken (`dev.tfrecord`, shards `dev-00000-of-00002.tfrecord`); a
    folder whose files are named after no split at all is taken whole. Raises UserError when nothing is found.
    """
    found = []
    for path in map(Path, split_paths(paths)):
        if path.is_dir():
            found += _in_folder(path, dataset_type, split)
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"record file {path} does not exist")
    return found


def _in_folder(folder, dataset_type, split):
    if (folder / JOB_FILE).is_file() and not (folder / MANIFEST_FILE).is_file():
        raise UserError(f"{folder} is not finished: prepare_corpus has shards left to make; run it again")
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


def _is_record(path, dataset_type):
    if not path.is_file() or path.name.startswith("."):
        return False
    if dataset_type == "mindrecord":
        return mindrecord_files.index_of(path).is_file()
    return bool(TFRECORD_NAME.search(path.name)) or (
        path.suffix not in (".json", ".txt", ".db", ".mindrecord") and tfrecord_files.looks_like(path)
    )


def _is_split(path, split):
    """True for the file `split.<suffix>` and for its numbered shards."""
    stem = path.name.split(".")[0]
    return stem == split or re.fullmatch(rf"{split}[-_]?\d+([-_]of[-_]\d+)?", stem) is not None
