"""`prepare --unlabelled_file`: records with rows without a label, of custom and GLUE tasks, with and without
labeled rows."""

import json

import numpy as np
import pytest

from src.config.task.from_records import task_for
from src.data.records.io import check_labels, read_records
from src.tools.augment import main as augment
from src.tools.prepare import main
from tests import tiny
from tests.test_bad_input import here, refused  # noqa: F401  (here is a fixture)

BASE, TOPIC = tiny.MARKS.values()


def prepare(out, vocabulary, *flags):
    main([*tiny.flags(vocab_file=vocabulary, output_dir=out, max_seq_length=16), *map(str, flags)])
    return json.loads((out / "manifest.json").read_text())


def csv_of(text):
    return text.replace("\t", ",")


@pytest.fixture
def logs(tmp_path):
    """A text file of 40 sentences, one of them twice, and a blank line."""
    rng = np.random.default_rng(5)
    sentences = [tiny.sentence(rng, tiny.MARKS[str(n % 2)], 12) for n in range(40)]
    file = tmp_path / "logs.txt"
    file.write_text("\n".join([*sentences, "", f"  {sentences[3]}"]) + "\n")
    return file


@pytest.mark.parametrize("form", ["tfrecord", "mindrecord"])
def test_a_custom_task(tmp_path, vocabulary, logs, form, capsys):
    rows = tmp_path / "rows.csv"
    rows.write_text(csv_of(tiny.single_rows(30, 1)))
    known = rows.read_text().splitlines()[1].rsplit(",", 1)[0].replace(" ", "  ")
    logs.write_text(f"{known}\n{logs.read_text()}")
    flags = ["--train_file", rows, "--dev_file", rows, "--text_columns", "sentence", "--dataset_type", form]
    manifest = prepare(tmp_path / "out", vocabulary, *flags, "--unlabelled_file", logs)
    said = capsys.readouterr().out
    assert "train: 30 rows with a label, 40 without one, of 42 texts in logs.txt; " in said
    assert "dropped: 1 found in dev, 1 repeated" in said
    assert manifest["unlabelled"] == {
        "files": ["logs.txt"],
        "read": 42,
        "dropped": {"dev": 1, "duplicates": 1},
        "bad_rows": [],
    }
    files = manifest["files"]
    assert [files[split]["rows_without_label"] for split in ("train", "dev")] == [40, 0]
    table = read_records(tmp_path / "out", form, split="train")
    assert table.labeled.sum() == 30 and table.rows == 70
    check_labels(table, task_for({"train_data_dir": str(tmp_path / "out")}), "here")
    # The labeled rows are those of a run without the texts.
    plain = tmp_path / "plain"
    assert prepare(plain, vocabulary, *flags)["label_counts"] == manifest["label_counts"]
    before, labeled = read_records(plain, form, split="train"), table.take(np.flatnonzero(table.labeled))
    for name in ("tokens", "labels", "offsets"):
        assert np.array_equal(getattr(before, name), getattr(labeled, name)), name


def test_a_split_of_the_labeled_rows_stays_the_same(tmp_path, vocabulary, logs):
    (tmp_path / "rows.csv").write_text(csv_of(tiny.single_rows(30, 1)))
    task = tmp_path / "rows.yaml"
    task.write_text("train_file: rows.csv\ntext_columns: sentence\nunlabelled_file: [logs.txt]\n")
    prepare(tmp_path / "out", vocabulary, "--task_file", task)
    task.write_text("train_file: rows.csv\ntext_columns: sentence\n")
    prepare(tmp_path / "plain", vocabulary, "--task_file", task)
    dev = [(tmp_path / name / "dev.tfrecord").read_bytes() for name in ("out", "plain")]
    assert dev[0] == dev[1]
    assert read_records(tmp_path / "out", split="train").labeled.sum() == 26


def test_a_glue_task_of_pairs_and_scores(tmp_path, vocabulary, capsys):
    data = tmp_path / "sts"
    data.mkdir()
    for name, seed in (("train", 1), ("dev", 2)):
        (data / f"{name}.tsv").write_text(tiny.score_rows(6, seed))
    table = (data / "dev.tsv").read_text().splitlines()
    texts = tmp_path / "pairs.jsonl"
    pair = dict(zip(("sentence1", "sentence2"), table[1].split("\t")[1:3], strict=True))
    swapped = {"sentence1": pair["sentence2"], "sentence2": pair["sentence1"]}
    texts.write_text("\n".join(map(json.dumps, (pair, swapped, swapped))))
    prepare(
        tmp_path / "out", vocabulary, "--task_name", "sts-b", "--data_dir", data, "--unlabeled_file", texts
    )
    assert "6 rows with a label, 1 without one, of 3 texts" in capsys.readouterr().out
    labels = read_records(tmp_path / "out", split="train").labels
    assert labels.dtype == np.float32 and np.isnan(labels).tolist() == [False] * 6 + [True]


def test_unlabeled_training_rows_and_a_labeled_dev_file(tmp_path, vocabulary, logs):
    data = tmp_path / "data"
    data.mkdir()
    (data / "dev.tsv").write_text(tiny.single_rows(6, 1))
    flags = ["--task_name", "sst-2", "--data_dir", data, "--unlabelled_file", logs]
    glue = prepare(tmp_path / "glue", vocabulary, *flags)
    (tmp_path / "dev.csv").write_text(csv_of(tiny.single_rows(6, 1)))
    flags = ["--text_columns", "sentence", "--dev_file", tmp_path / "dev.csv", "--unlabelled_file", logs]
    manifest = prepare(tmp_path / "out", vocabulary, *flags, "--labels", "0", "1")
    for files in (glue["files"], manifest["files"]):
        assert [files[split]["rows"] for split in ("train", "dev")] == [40, 6]
        assert files["train"]["labelled"] is False and files["dev"]["labelled"] is True


@pytest.mark.parametrize("labels", [["--labels", "no", "yes"], ["--output_mode", "regression"], []])
def test_no_label_at_all(tmp_path, vocabulary, logs, labels, capsys):
    config = tiny.TINY.replace(labels=("bad", "good", "odd"), output_mode="multi_label")
    model = tiny.write_model(tmp_path / "model", vocabulary, config)
    flags = ["--unlabelled_file", logs, "--dev_share", "0.25"]
    manifest = prepare(tmp_path / "out", vocabulary if labels else model, *flags, *labels)
    said = capsys.readouterr().out
    assert "train: 0 rows with a label, 30 without one, of 41 texts in logs.txt; dropped: 1 repeated" in said
    assert "dev: 10 of these texts were split off (dev_share 0.25, split_seed 1, random)" in said
    task = task_for({"train_data_dir": str(tmp_path / "out")})
    expected = labels[1:] if "--labels" in labels else [] if labels else ["bad", "good", "odd"]
    assert (task.name, list(task.labels)) == ("logs", expected) and manifest["labels"] == expected
    assert labels or task.output_mode == "multi_label"
    train, dev = (read_records(tmp_path / "out", split=split) for split in ("train", "dev"))
    assert (train.labels, dev.labels) == (None, None)
    rows = [tuple(row) for table in (train, dev) for row in table.by_row(table.tokens)]
    assert len(set(rows)) == len(rows) == 40


def test_a_glue_task_without_any_label(tmp_path, vocabulary, logs):
    text = tmp_path / "pairs.txt"
    text.write_text("".join(f"{line}\t{line}\n" for line in logs.read_text().split("\n") if line.strip()))
    flags = ["--unlabelled_file", text, "--dev_share", "0.2", "--split_seed", "3"]
    manifest = prepare(tmp_path / "out", vocabulary, "--task_name", "mnli", *flags)
    rows = {split: entry["rows"] for split, entry in manifest["files"].items()}
    assert rows == {"train": 32, "dev_matched": 4, "dev_mismatched": 4}


CASES = {
    "no labels": (["--unlabelled_file", "logs.txt"], "the labels are unknown, since no row has one"),
    "no columns": (
        ["--unlabelled_file", "logs.csv", "--labels", "a", "b"],
        "text_columns names nothing; give one or two",
    ),
    "one label": (["--unlabelled_file", "logs.txt", "--labels", "a"], "only the label a found"),
    "tags": (
        [
            "--train_file",
            "logs.txt",
            "--output_mode",
            "token_classification",
            "--unlabelled_file",
            "logs.txt",
        ],
        "unlabelled_file does not apply to token classification",
    ),
    "tags of a built-in task": (
        ["--task_name", "sample-ner", "--unlabelled_file", "logs.txt"],
        "--unlabelled_file does not apply to sample-ner",
    ),
    "a misspelt task": (
        ["--task_name", "sst22", "--data_dir", ".", "--unlabelled_file", "logs.txt"],
        'task_name "sst22" is not one of',
    ),
    "absent": (
        ["--task_name", "sst-2", "--unlabelled_file", "none.txt"],
        "none.txt does not exist; it should hold texts of SST-2, one a line",
    ),
    "split of a built-in task": (
        ["--task_name", "sample", "--unlabelled_file", "logs.txt", "--split_seed", "2"],
        "--split_seed has no effect: sample has its own dev rows",
    ),
    "dev_share of a GLUE folder": (
        ["--task_name", "sst-2", "--data_dir", ".", "--unlabelled_file", "logs.txt", "--dev_share", "0.2"],
        "--dev_share is for a custom task",
    ),
}


@pytest.mark.parametrize("flags, complaint", CASES.values(), ids=CASES)
def test_refusals(here, vocabulary, logs, capsys, flags, complaint):  # noqa: F811
    places = ["--vocab_file", str(vocabulary), "--output_dir", "out"]
    assert complaint in refused(main, [*places, *flags], capsys)


def test_augmentation_needs_labeled_rows(here, vocabulary, logs, capsys):  # noqa: F811
    (here / "task.yaml").write_text("unlabelled_file: logs.txt\nlabels: [a, b]\n")
    errors = refused(augment, ["--task_file", "task.yaml", "--glove_file", "none"], capsys)
    assert "task.yaml: train_file is required: the labeled rows to augment" in errors
