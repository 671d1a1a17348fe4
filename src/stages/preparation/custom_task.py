"""The files of a task of your own, from flags or a task file to rows, and what is to be said of them."""

from pathlib import Path

from ...config.task.custom import FIELDS, custom_task
from ...config.task.from_records import MANIFEST_KEY
from ...data.custom_task import check_suffix, counts_of, read_own
from ...data.processors import read_rows
from ...errors import UserError, join_names

# Flags that GLUE's tasks have too.
SHARED = ("task_name", "train_file", "max_seq_length")
SHOWN = 20  # labels counted in words; the rest are in the manifest


def own_task_of(resolved):
    """The CustomTask that a Resolved of PrepareConfig describes, None for a GLUE task."""
    config, origins = resolved.config, resolved.origins
    given = {name: getattr(config, name) for name in FIELDS if origins[name] == "command line"}
    if config.task_file or config.text_columns or config.by_word:
        if config.data_dir:
            raise UserError("--data_dir is for GLUE's tasks; yours names its files")
        return custom_task(config.task_file, given)
    strange = [name for name in given if name not in SHARED]
    if strange:
        raise UserError(
            f"--{strange[0]} is for a task of your own, which begins with --text_columns, "
            "--output_mode token_classification or --task_file"
        )
    if not config.task_name:
        raise UserError(
            "--task_name is required: a GLUE task or sample; or --text_columns or --task_file, "
            "for a task of your own"
        )
    return None


class CustomData:
    """The rows of an CustomTask, all read; `task` knows its labels.

    Where the task file names the training rows, another train_file on the command line (an augmented one)
    takes their place in training, and the dev rows stay those of the first.
    """

    def __init__(self, config, own):
        self.own, self._texts = read_own(own, config.on_bad_row, config.max_rows)
        self.task = self.own.spec()
        self.inputs = [config.task_file, own.train_file, own.dev_file, own.test_file]
        other = config.train_file and Path(config.train_file).resolve() != Path(own.train_file).resolve()
        if other:
            check_suffix(config.train_file, own)
            others = read_rows(config.train_file, self.task, config.on_bad_row, config.max_rows)
            self._texts["train"] = others
        self.counts = {}
        if self.task.labels:
            self.counts = {
                split: counts_of(text.examples, self.task)
                for split, text in self._texts.items()
                if text.labelled
            }

    @property
    def notes(self):
        """What the manifest says of the task: what later stages take from it, and counts of its labels."""
        split = {"dev_share": self.own.dev_share, "split_seed": self.own.split_seed}
        return {
            MANIFEST_KEY: self.own.to_manifest(),
            "label_counts": self.counts,
            **({"split": split} if self.own.makes_dev else {}),
        }

    @property
    def remarks(self):
        """Lines about split and labels."""
        lines = []
        if self.own.makes_dev:
            train, dev = (len(self._texts[split].examples) for split in ("train", "dev"))
            drawn = "drawn at random" if self.own.by_word else "stratified"
            lines.append(
                f"dev: no dev_file was given; {dev} rows of {self.own.train_file} were split off; "
                f"{train} rows are trained on (dev_share {self.own.dev_share:g}, split_seed "
                f"{self.own.split_seed}, {drawn})"
            )
        for split, counts in self.counts.items():
            counted = [f"{name} {n:,}" for name, n in counts.items()]
            lines.append(f"labels of {split}: {join_names(counted, SHOWN)}")
            absent = [name for name, n in counts.items() if not n]
            if absent:
                lines.append(f"note: {split} has no row of {join_names(absent, SHOWN)}")
        return [*lines, *self._overlap()]

    def _overlap(self):
        # A draw other than that of augment puts dev rows among the rows to train on, and so do duplicates.
        train, dev = (
            [
                row.words if self.own.by_word else (row.text_a, row.text_b)
                for row in self._texts[split].examples
            ]
            for split in ("train", "dev")
        )
        seen = set(train)
        both = sum(row in seen for row in dev)
        if both:
            yield (
                f"note: {both:,} of the {len(dev):,} rows of dev are rows of train too, word for word; "
                "their score says little"
            )

    def texts(self, folder):
        """Iterate over pairs (split, TextFile); `folder` is not needed."""
        return iter(self._texts.items())
