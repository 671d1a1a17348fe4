"""Reads the files of a custom task, described by flags or a task file."""

import dataclasses
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ...config.task.custom import FIELDS, CustomTask, custom_task
from ...config.task.from_records import MANIFEST_KEY
from ...data.custom_task import check_suffix, counts_of, read_custom_task
from ...data.processors import read_rows
from ...data.text.examples import TextFile
from ...errors import UserError, join_names
from ...tasks import TASKS, task_key
from .unlabeled import AddedTexts, add_texts, labels_from_model

if TYPE_CHECKING:
    from ...config.cli import Resolved
    from ...tools.prepare import PrepareConfig

# Flags shared with GLUE tasks.
SHARED = ("task_name", "train_file", "max_seq_length", "unlabelled_file")
SPLIT = ("dev_share", "split_seed")  # shared where dev is split off the unlabeled texts
# Fields that decide which rows are split off for dev.
SPLIT_INPUTS = (*SPLIT, "text_columns", "label_column", "output_mode", "labels", "label_separator")
SHOWN = 20  # labels whose counts are printed; the manifest has all of them


def custom_task_from(resolved: "Resolved") -> CustomTask | None:
    """CustomTask of a resolved PrepareConfig, None for a GLUE task."""
    config, origins = resolved.config, resolved.origins
    given = {name: getattr(config, name) for name in FIELDS if origins[name] == "command line"}
    built_in = config.data_dir or task_key(config.task_name) in map(task_key, TASKS)
    unlabeled = config.unlabelled_file and not built_in
    if config.task_file or config.text_columns or config.by_word or unlabeled:
        if config.data_dir:
            raise UserError("--data_dir is for GLUE tasks; a custom task names its files")
        custom = custom_task(config.task_file, given)
        _check_same_split(config, custom, [*given, *(["max_rows"] if config.max_rows >= 0 else [])])
        known = custom.train_file or custom.dev_file or custom.labels or custom.output_mode == "regression"
        return custom if known else labels_from_model(custom, config.vocab_file)
    shared = (*SHARED, *SPLIT) if config.unlabelled_file and not config.data_dir else SHARED
    unexpected = [name for name in given if name not in shared]
    if unexpected:
        raise UserError(
            f"--{unexpected[0]} is for a custom task, which requires --text_columns, "
            "--output_mode token_classification or --task_file"
        )
    if not config.task_name:
        raise UserError(
            "--task_name is required: a GLUE task or sample; or --text_columns or --task_file "
            "for a custom task"
        )
    return None


def _replaces_rows(config: "PrepareConfig", custom: CustomTask) -> bool:
    """Whether --train_file replaces, for training, the rows that the task file names."""
    return bool(config.train_file) and Path(config.train_file).resolve() != Path(custom.train_file).resolve()


def _check_same_split(config: "PrepareConfig", custom: CustomTask, given: Collection[str]) -> None:
    """Raise UserError for a flag that changes the split: augment, which reads the task file alone, copied
    the training rows of another one."""
    if not (custom.makes_dev and _replaces_rows(config, custom)):
        return
    if name := next((name for name in (*SPLIT_INPUTS, "max_rows") if name in given), None):
        remedy = "remove it" if name == "max_rows" else f"set it in {config.task_file}, and augment again"
        raise UserError(
            f"--{name} changes which rows of {custom.train_file} are held out for dev: copies of them may be "
            f"in {config.train_file}; {remedy}"
        )


class CustomData:
    """All rows of a CustomTask; `task` is its TaskSpec with the labels.

    If the task file names the training rows, another train_file on the command line (an augmented one)
    replaces them for training, while the dev rows still come from the first.
    """

    def __init__(self, config: "PrepareConfig", custom: CustomTask) -> None:
        self.custom, self._texts = read_custom_task(custom, config.on_bad_row, config.max_rows)
        self.task = self.custom.spec()
        self.inputs = [config.task_file, custom.train_file, custom.dev_file, custom.test_file]
        self.inputs += custom.unlabelled_file
        if _replaces_rows(config, custom):
            check_suffix(config.train_file, custom)
            self._texts["train"] = read_rows(config.train_file, self.task, config.on_bad_row, config.max_rows)
        self.counts: dict[str, dict[str, int]] = {}
        if self.task.labels:
            self.counts = {
                split: counts_of(text.examples, self.task)
                for split, text in self._texts.items()
                if text.labeled
            }
        self.added: AddedTexts | None = None
        self._labeled = dict(self._texts)
        if custom.unlabelled_file:
            files = dataclasses.replace(
                config,
                unlabelled_file=custom.unlabelled_file,
                dev_share=custom.dev_share,
                split_seed=custom.split_seed,
            )
            self.added = add_texts(files, self.task, self._texts, ("dev",))
            self._texts = self.added.texts

    @property
    def manifest_entries(self) -> dict:
        """Manifest entries of the task: its definition for later stages, label counts and split."""
        split = {"dev_share": self.custom.dev_share, "split_seed": self.custom.split_seed}
        return {
            MANIFEST_KEY: self.custom.to_manifest(),
            "label_counts": self.counts,
            **({"split": split} if self.custom.makes_dev else {}),
            **(self.added.manifest_entries if self.added else {}),
        }

    @property
    def summary_lines(self) -> list[str]:
        """Log lines about split and labels."""
        lines = []
        if self.custom.makes_dev and self.custom.train_file:
            train, dev = (len(self._labeled[split].examples) for split in ("train", "dev"))
            method = "random" if self.custom.by_word else "stratified"
            lines.append(
                f"dev: no dev_file was given; {dev} rows of {self.custom.train_file} were split off, "
                f"{train} rows remain for training (dev_share {self.custom.dev_share:g}, split_seed "
                f"{self.custom.split_seed}, {method})"
            )
        for split, counts in self.counts.items():
            counted = [f"{name} {n:,}" for name, n in counts.items()]
            lines.append(f"labels of {split}: {join_names(counted, SHOWN)}")
            missing = [name for name, n in counts.items() if not n]
            if missing:
                lines.append(f"note: {split} has no row with {join_names(missing, SHOWN)}")
        return [*lines, *(self.added.summary_lines if self.added else ())]

    def texts(self, folder: Path) -> Iterator[tuple[str, TextFile]]:
        """Iterate over (split, TextFile); `folder` is unused."""
        return iter(self._texts.items())
