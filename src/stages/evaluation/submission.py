"""GLUE submission files: a model's prediction for every row of a task's test files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...config.task.from_records import MANIFEST_FILE, PREPARE_AGAIN
from ...data import splits
from ...errors import UserError
from ...files import write_text
from ...infer.logits import collect_logits
from ...json_reader import read_object
from ...tasks import TaskSpec, for_mode
from ..model.inference import InferenceModel, Log

if TYPE_CHECKING:
    from ...config.evaluate_config import EvaluateConfig

# Split of the records -> file name that GLUE's server expects.
FILES = {
    "test": "{task}.tsv",
    "test_matched": "{task}-m.tsv",
    "test_mismatched": "{task}-mm.tsv",
    "test_diagnostic": "AX.tsv",
}
HEADER_LINES = 1
# What prepare writes about each split, as a structure of json_reader.
ENTRY = {"source": str, "rows": int, "unlabelled": int, "skipped": int, "bad_rows": [{"line": int}]}
MANIFEST = {"files": {str: ENTRY}, "max_rows": int}


class TestSplit:
    """One test file: its rows as a dataset, and the row numbers that `prepare` skipped."""

    def __init__(self, config: EvaluateConfig, split: str, entry: dict[str, Any]) -> None:
        self.file, self.source = FILES[split], entry["source"]
        # Line 1 is the header, line 2 row 0.
        self.skipped = {bad["line"] - HEADER_LINES - 1 for bad in entry["bad_rows"]}
        self.dataset = splits.read_split(config, config.eval_data_dir, split)

    @property
    def rows(self) -> int:
        """Rows of the text file."""
        return self.dataset.rows + len(self.skipped)


def read_tests(config: EvaluateConfig, task: TaskSpec) -> list[TestSplit]:
    """The TestSplits of a folder that `prepare` wrote.

    Raises UserError for any other folder, one without test records, records that cannot be aligned with the
    rows of their text file, a task without submission files, and an output path that is a file.
    """
    for_mode(FORMATTERS, task.output_mode, "submission file")
    if Path(config.write_predictions).is_file():
        raise UserError(f"--write_predictions {config.write_predictions} is a file; give a folder")
    manifest_file = Path(config.eval_data_dir) / MANIFEST_FILE
    if not manifest_file.is_file():
        raise UserError(
            f"--write_predictions requires a folder written by prepare; {manifest_file} does not exist"
        )
    manifest = read_object(manifest_file, MANIFEST, PREPARE_AGAIN)
    entries = {split: manifest["files"][split] for split in task.test_files if split in manifest["files"]}
    if not entries:
        raise UserError(
            f"{config.eval_data_dir} contains no test records: put "
            f"{', '.join(task.test_files.values())} next to the dev file and run prepare again"
        )
    for entry in entries.values():
        _check_complete(entry, manifest["max_rows"], config.eval_data_dir)
    return [TestSplit(config, split, entry) for split, entry in entries.items()]


def _check_complete(entry: dict[str, Any], max_rows: int, folder: str) -> None:
    """Raise UserError when rows are missing at unknown positions: a submission needs every row."""
    if 0 <= max_rows <= entry["rows"]:
        raise UserError(
            f"{folder} contains the first {max_rows} rows of {entry['source']} (--max_rows of prepare); a "
            "submission needs all of them"
        )
    if entry["unlabelled"] or (entry["skipped"] and not entry["source"].endswith(".tsv")):
        raise UserError(
            f"{folder} lacks {entry['unlabelled'] + entry['skipped']} rows of {entry['source']} at unknown "
            "positions; a submission needs all of them"
        )


def write_submission(
    config: EvaluateConfig, task: TaskSpec, model: InferenceModel, tests: Sequence[TestSplit], log: Log
) -> None:
    """Write one file for each of `tests` to the folder `config.write_predictions`, with a log line each.

    Two columns, index and prediction: labels as the task spells them, scores clipped to the task's range.
    Rows that `prepare` skipped get the first label, or the lowest score, which is logged.
    """
    format_row, default = FORMATTERS[task.output_mode](task)
    for test in tests:
        splits.check_dataset(test.dataset, model.config, None, config.eval_data_dir)
        loader = splits.make_loader(test.dataset, config, config.eval_batch_size, shuffle=False)
        predictions = map(format_row, collect_logits(model.predict, loader))
        lines = [
            f"{row}\t{default if row in test.skipped else next(predictions)}\n" for row in range(test.rows)
        ]
        path = Path(config.write_predictions) / test.file.format(task=task.name)
        write_text(path, "".join(["index\tprediction\n", *lines]))
        note = f"; {len(test.skipped)} rows skipped by prepare are set to {default}" if test.skipped else ""
        log(f"wrote {path}: {test.rows:,} rows of {test.source}{note}")


Formatter = tuple[Callable[[np.ndarray], str], str]  # logits [C] -> text, and the text of a skipped row


def _labels(task: TaskSpec) -> Formatter:
    return lambda logits: task.labels[logits.argmax()], task.labels[0]


def _scores(task: TaskSpec) -> Formatter:
    low, high = task.score_range or (float("-inf"), float("inf"))
    return lambda logits: f"{min(max(float(logits[0]), low), high):.6f}", f"{max(low, 0.0):.6f}"


FORMATTERS = {"classification": _labels, "regression": _scores}
