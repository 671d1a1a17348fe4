"""The rows of a compression run from records."""

import collections
from pathlib import Path

import numpy as np
import pytest

from src.config.cli import parse
from src.data.records.io import read_records
from src.errors import UserError
from src.stages.compress.steps.rows import input_hashes, prepare_step, read_rows, unknown_words
from src.stages.compress.steps.workspace import Workspace
from src.tools import prepare
from src.tools.compress import CompressConfig
from tests import tiny
from tests.stages.compress.test_plan import rows_of


@pytest.fixture(scope="module")
def records(tmp_path_factory, vocabulary):
    """A folder of records, three of whose 20 evaluation rows are training rows."""
    folder = tmp_path_factory.mktemp("records")
    lines = tiny.single_rows(60, 1).splitlines()
    rows = {"train": lines[:41], "dev": [lines[0], *lines[1:4], *lines[44:61]]}
    for name, part in rows.items():
        (folder / f"{name}.tsv").write_text("\n".join(part))
    flags = {"vocab_file": vocabulary, "max_seq_length": 16, "output_dir": folder / "records"}
    prepare.main(tiny.flags(task_name="SST-2", data_dir=folder, **flags))
    return folder / "records"


def test_the_halves_of_dev_and_rows_that_are_also_in_train(records, tmp_path):
    config = CompressConfig(
        model_dir="model", task_name="SST-2", train_data_dir=str(records), output_dir=str(tmp_path)
    )
    rows = read_rows(config, Workspace(tmp_path), lambda task, dataset: pytest.fail("dev has labels"))
    known, dev = (
        [tuple(ids) for ids in dataset.by_row(dataset.tokens)]
        for dataset in (read_records(records, split=split) for split in ("train", "dev"))
    )
    both = sum(row in known for row in dev)
    assert both >= 3
    (warning,) = rows.warnings
    assert warning.startswith(f"{both} of the {len(dev)} evaluation rows are also training rows")
    halves = [read_records(rows.paths[half]) for half in ("choose", "report")]
    found = [tuple(ids) for half in halves for ids in half.by_row(half.tokens)]
    assert collections.Counter(found) == collections.Counter(dev)
    shares = [np.bincount(half.labels, minlength=2) for half in halves]
    assert np.abs(shares[0] - shares[1]).max() <= 1


def test_all_files_of_the_rows_and_the_model_are_hashed(vocabulary, tmp_path):
    """Also those that a task file names; a resumed run refuses others."""
    model = tiny.write_model(tmp_path / "model", vocabulary)
    (tmp_path / "rows.csv").write_text("text,label\na,0\nb,1\n")
    (tmp_path / "task.yaml").write_text("train_file: rows.csv\ntext_columns: text\n")
    flags = {"model_dir": model, "output_dir": tmp_path / "out", "task_file": tmp_path / "task.yaml"}
    resolved = parse(CompressConfig, tiny.flags(**flags))
    names = {Path(file).name for file in input_hashes(resolved.config)}
    assert names == {path.name for path in model.iterdir() if path.suffix in (".json", ".txt", ".safetensors")
                     and path.name != "manifest.json"} | {"rows.csv", "task.yaml"}  # fmt: skip
    step = prepare_step(resolved, tiny.TINY, Workspace(tmp_path / "out"))
    assert step is not None and "dev_share" not in step.flags  # the task file may have one


@pytest.mark.parametrize("flag", ["dev_file", "labels", "max_seq_length", "best_metric"])
def test_flags_of_text_are_refused_beside_records(records, flag):
    value = {"max_seq_length": 8, "best_metric": "f1"}.get(flag, "x")
    flags = {"model_dir": "model", "output_dir": "out", "train_data_dir": records, flag: value}
    resolved = parse(CompressConfig, tiny.flags(**flags))
    with pytest.raises(UserError, match=f"--train_data_dir and --{flag} are mutually exclusive"):
        prepare_step(resolved, tiny.TINY, Workspace("out"))


def test_a_vocabulary_that_lacks_words_is_warned_of():
    """50 tokens become 51, then 57."""
    assert unknown_words(rows_of([8, 8, 9]), rows_of([8, 8, 9])) is None
    assert unknown_words(rows_of([10] * 5), rows_of([10] * 4 + [11])) is None
    assert "into 14% more tokens" in unknown_words(rows_of([10] * 5), rows_of([10] * 3 + [13, 14]))
