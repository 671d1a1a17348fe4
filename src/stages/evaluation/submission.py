"""GLUE's submission files: what a model says of every row of a task's test files."""

from pathlib import Path

from ...data import splits
from ...data.records.paths import MANIFEST_FILE
from ...errors import UserError
from ...files import read_json, write_text
from ...infer.logits import collect_logits
from ...tasks import for_mode

# Split of the records -> file that GLUE's server expects.
FILES = {
    "test": "{task}.tsv",
    "test_matched": "{task}-m.tsv",
    "test_mismatched": "{task}-mm.tsv",
    "test_diagnostic": "AX.tsv",
}
HEADER_LINES = 1


class TestRows:
    """One test file: its rows as a table, and the numbers of rows that `prepare` had to leave out."""

    def __init__(self, config, split, entry):
        self.file, self.source = FILES[split], entry["source"]
        # Line 1 is the header, line 2 row 0.
        self.left_out = {bad["line"] - HEADER_LINES - 1 for bad in entry["bad_rows"]}
        self.table = splits.read_split(config, config.eval_data_dir, split)

    @property
    def rows(self):
        """Rows of the text file."""
        return self.table.rows + len(self.left_out)


def read_tests(config, task):
    """The TestRows of a folder that `prepare` wrote.

    Raises UserError for another kind of folder, for one without test records, for records that cannot be put
    beside the rows of their text file, for a task that has no such files, and for no place to write them.
    """
    for_mode(WORDINGS, task.output_mode, "submission file")
    if Path(config.write_predictions).is_file():
        raise UserError(f"--write_predictions {config.write_predictions} is a file; give a folder")
    manifest_file = Path(config.eval_data_dir) / MANIFEST_FILE
    if not manifest_file.is_file():
        raise UserError(f"--write_predictions needs a folder that prepare wrote; there is no {manifest_file}")
    manifest = read_json(manifest_file)
    entries = {split: manifest["files"][split] for split in task.test_files if split in manifest["files"]}
    if not entries:
        raise UserError(
            f"{config.eval_data_dir} holds no test records: put "
            f"{', '.join(task.test_files.values())} beside the dev file and run prepare again"
        )
    for entry in entries.values():
        _check_whole(entry, manifest["max_rows"], config.eval_data_dir)
    return [TestRows(config, split, entry) for split, entry in entries.items()]


def _check_whole(entry, max_rows, folder):
    """A submission has every row: refuse records of which nobody knows where the missing rows were."""
    if 0 <= max_rows <= entry["rows"]:
        raise UserError(
            f"{folder} holds the first {max_rows} rows of {entry['source']} (--max_rows of "
            "prepare); a submission needs them all"
        )
    if entry["unlabelled"] or (entry["skipped"] and not entry["source"].endswith(".tsv")):
        raise UserError(
            f"{folder} lacks {entry['unlabelled'] + entry['skipped']} rows of {entry['source']}, "
            "whose places are not known; a submission needs them all"
        )


def write_submission(config, task, model, tests, log):
    """Write one file for each of `tests` into the folder `config.write_predictions`; `say` takes a line each.

    Two columns, index and prediction: class names as the task's labels are written, scores within the task's
    range. A row that `prepare` left out has the first label, or the lowest score, and that is said.
    """
    word, filling = WORDINGS[task.output_mode](task)
    for test in tests:
        splits.check_dataset(test.table, model.config, None, config.eval_data_dir)
        batches = splits.make_loader(test.table, config, config.eval_batch_size, shuffle=False)
        answers = map(word, collect_logits(model.predict, batches))
        lines = [f"{row}\t{filling if row in test.left_out else next(answers)}\n" for row in range(test.rows)]
        path = Path(config.write_predictions) / test.file.format(task=task.name)
        write_text(path, "".join(["index\tprediction\n", *lines]))
        said = f"; {filling} stands for {len(test.left_out)} that prepare left out" if test.left_out else ""
        log(f"wrote {path}: {test.rows:,} rows of {test.source}{said}")


def _labels(task):
    return lambda logits: task.labels[logits.argmax()], task.labels[0]


def _scores(task):
    low, high = task.score_range or (float("-inf"), float("inf"))
    return lambda logits: f"{min(max(float(logits[0]), low), high):.6f}", f"{max(low, 0.0):.6f}"


WORDINGS = {"classification": _labels, "regression": _scores}
