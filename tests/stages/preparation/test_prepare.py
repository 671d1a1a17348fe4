"""`python -m src.tools.prepare` from text files to records that can be batched."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.data.dataloader import BucketDataLoader, choose_buckets
from src.data.records.io import check_labels, read_records
from src.data.samples.sentiment import (
    ADJECTIVES,
    AGREEMENT,
    ASPECTS,
    CONTRAST,
    INTENSIFIERS,
    KEEPING,
    OPENERS,
    REVERSING,
    TAILS,
    VERBS,
    WHOLES,
)
from src.data.tokenization.tokenizer import load_tokenizer
from src.errors import UserError
from src.tasks import TASKS
from src.tools.prepare import main

ROOT = Path(__file__).resolve().parents[3]
MNLI_COLUMNS = "index promptID pairID genre b1 b2 p1 p2 sentence1 sentence2 label1".split()


def pieces():
    """A vocabulary that knows every word of the sample task, in lower case."""
    texts = [
        *ASPECTS,
        *WHOLES,
        *INTENSIFIERS,
        *OPENERS,
        *TAILS,
        *KEEPING,
        *REVERSING,
        *CONTRAST,
        *AGREEMENT,
        *(word for group in (ADJECTIVES, VERBS) for words in group.values() for word in words),
        "i did not the ; .",
    ]
    words = {word for text in texts for word in text.split() if "{" not in word}
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(words)]


@pytest.fixture
def vocab(tmp_path):
    path = tmp_path / "model" / "vocab.txt"
    path.parent.mkdir()
    path.write_text("\n".join(pieces()) + "\n")
    return path


def write_task(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.tsv").write_text(text)
    return folder


def prepare(tmp_path, vocab, *flags):
    out = tmp_path / "out"
    main(["--vocab_file", str(vocab), "--output_dir", str(out), *map(str, flags)])
    return out, json.loads((out / "manifest.json").read_text())


@pytest.mark.parametrize("form", ["tfrecord", "mindrecord"])
def test_the_sample_task_needs_no_data(tmp_path, vocab, form, capsys):
    out, manifest = prepare(tmp_path, vocab, "--task_name", "sample", "--dataset_type", form)
    assert {
        "train.tsv",
        "dev.tsv",
        "schema.json",
        "vocab.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        f"train.{form}",
        f"dev.{form}",
    } <= set(os.listdir(out))
    assert [manifest["files"][split]["rows"] for split in ("train", "dev")] == [2400, 600]
    assert manifest["labels"] == ["0", "1"] and manifest["files"]["train"]["unk_share"] == 0
    assert "2,400" in capsys.readouterr().out
    table = read_records(out, form, split="dev")
    check_labels(table, TASKS["sample"], out)
    assert table.manifest == manifest and table.max_seq_length == 64
    batches = BucketDataLoader(table, 32, choose_buckets(table.lengths, 64), True, 1)
    assert sum((batch.weights > 0).sum() for batch in batches.epoch(0)) == 600
    # The folder serves as vocabulary of the next stage, with the same settings.
    assert load_tokenizer(out).settings == manifest["tokenizer"]


def test_the_schema_is_the_model_zoos(tmp_path, vocab):
    out, _ = prepare(tmp_path, vocab, "--task_name", "sample", "--max_seq_length", 32, "--max_rows", 50)
    ids = {"type": "int64", "rank": 1, "shape": [32]}
    assert json.loads((out / "schema.json").read_text()) == {
        "datasetType": "TF",
        "numRows": 50,
        "columns": {
            "input_ids": ids,
            "input_mask": ids,
            "segment_ids": ids,
            "label_ids": {"type": "int64", "rank": 0, "shape": []},
        },
    }


def test_both_formats_hold_the_same_rows(tmp_path, vocab):
    tables = []
    for form in ("tfrecord", "mindrecord"):
        flags = ("--task_name", "sample", "--dataset_type", form, "--max_rows", 99, "--overwrite_output_dir")
        tables.append(read_records(prepare(tmp_path, vocab, *flags)[0], form, split="train"))
    assert (tables[0].tokens == tables[1].tokens).all() and (tables[0].labels == tables[1].labels).all()


def test_mnli_has_two_dev_files_and_skips_unlabeled_rows(tmp_path, vocab):
    def rows(labels):
        head = "\t".join([*MNLI_COLUMNS, "gold_label"])
        lines = ("\t".join(["x"] * 8 + ["the film", "the plot", "y", label]) for label in labels)
        return "\n".join([head, *lines])

    unlabelled = "\t".join(MNLI_COLUMNS[:10]) + "\n" + "\t".join(["x"] * 8 + ["the", "film"])
    data = write_task(
        tmp_path / "data",
        train=rows(["neutral", "-", "entailment"]),
        dev_matched=rows(["contradiction"]),
        dev_mismatched=rows(["neutral", "neutral"]),
        test_matched=unlabelled,
    )
    out, manifest = prepare(tmp_path, vocab, "--task_name", "mnli", "--data_dir", data)
    assert {name: entry["rows"] for name, entry in manifest["files"].items()} == {
        "train": 2,
        "dev_matched": 1,
        "dev_mismatched": 2,
        "test_matched": 1,
    }
    assert manifest["files"]["train"]["unlabelled"] == 1 and manifest["max_seq_length"] == 128
    assert read_records(out, split="train").labels.tolist() == [2, 1]
    assert read_records(out, split="dev_mismatched").labels.tolist() == [2, 2]
    assert read_records(out, split="test_matched").labels is None
    assert not manifest["files"]["test_matched"]["labelled"]


def test_scores(tmp_path, vocab):
    text = "index\tsentence1\tsentence2\tscore\n0\tthe film\tthe plot\t2.75\n"
    data = write_task(tmp_path / "data", train=text, dev=text)
    out, manifest = prepare(tmp_path, vocab, "--task_name", "STS-B", "--data_dir", data)
    assert manifest["labels"] == [] and manifest["output_mode"] == "regression"
    assert read_records(out, split="dev").labels.tolist() == [2.75]
    columns = json.loads((out / "schema.json").read_text())["columns"]
    assert columns["label_ids"]["type"] == "float32"


def test_truncated_and_bad_rows_are_counted(tmp_path, vocab, capsys):
    text = "sentence\tlabel\n" + "the film " * 40 + "\t1\nthe film\t7\nthe\tplot\t1\nthe plot\t0\n"
    data = write_task(tmp_path / "data", train=text, dev="sentence\tlabel\nthe film\t1\n")
    with pytest.raises(UserError, match='train.tsv, line 3: label "7" is unknown'):
        prepare(tmp_path, vocab, "--task_name", "SST-2", "--data_dir", data)
    assert not (tmp_path / "out").exists()
    _, manifest = prepare(tmp_path, vocab, "--task_name", "SST-2", "--data_dir", data, "--on_bad_row", "skip")
    train = manifest["files"]["train"]
    assert (train["rows"], train["truncated"], train["longest"], train["skipped"]) == (2, 1, 64, 2)
    assert [row["line"] for row in train["bad_rows"]] == [3, 4]
    assert "truncated" in capsys.readouterr().out


def test_another_train_file(tmp_path, vocab):
    text = "sentence\tlabel\nthe film\t1\n"
    data = write_task(tmp_path / "data", train=text, dev=text)
    more = tmp_path / "augmented.csv"
    more.write_text("sentence,label\nthe film,1\nthe plot,0\n")
    _, manifest = prepare(tmp_path, vocab, "--task_name", "SST-2", "--data_dir", data, "--train_file", more)
    train = manifest["files"]["train"]
    assert (train["rows"], train["source"]) == (2, "augmented.csv")


def test_a_wrong_vocabulary_stops_the_run(tmp_path, vocab):
    vocab.write_text("\n".join(pieces()[:5] + ["the", "film"]) + "\n")
    with pytest.raises(UserError, match=r"\d\d% of the tokens of sample/train.tsv are \[UNK\] with"):
        prepare(tmp_path, vocab, "--task_name", "sample")
    assert not (tmp_path / "out").exists()


def test_wrong_inputs(tmp_path, vocab):
    with pytest.raises(UserError, match='did you mean "SST-2"'):
        prepare(tmp_path, vocab, "--task_name", "SST-3")
    with pytest.raises(UserError, match="--data_dir is required"):
        prepare(tmp_path, vocab, "--task_name", "RTE")
    with pytest.raises(UserError, match="absent does not exist"):
        prepare(tmp_path, vocab, "--task_name", "RTE", "--data_dir", tmp_path / "absent")
    data = write_task(tmp_path / "data", train="sentence\tlabel\nthe film\t1\n")
    with pytest.raises(UserError, match="dev.tsv does not exist; it should hold the dev rows of SST-2"):
        prepare(tmp_path, vocab, "--task_name", "SST-2", "--data_dir", data)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="max_seq_length 5 is too short"):
        prepare(tmp_path, vocab, "--task_name", "sample", "--max_seq_length", 5)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="is not empty"):
        prepare(tmp_path, vocab, "--task_name", "sample")


def test_a_failed_run_keeps_the_previous_records(tmp_path, vocab):
    flags = ("--task_name", "sample", "--max_rows", 20, "--overwrite_output_dir")
    out, manifest = prepare(tmp_path, vocab, *flags)
    with pytest.raises(UserError, match="max_seq_length 5 is too short"):
        prepare(tmp_path, vocab, *flags, "--max_seq_length", 5)
    assert json.loads((out / "manifest.json").read_text()) == manifest
    assert read_records(out, split="train").rows == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_the_input_is_never_overwritten(tmp_path, vocab):
    text = "sentence\tlabel\nthe film\t1\n"
    data = write_task(tmp_path / "out", train=text, dev=text)
    with pytest.raises(UserError, match="out contains .*out, which this run reads"):
        prepare(tmp_path, vocab, "--task_name", "SST-2", "--data_dir", data, "--overwrite_output_dir")
    assert (data / "train.tsv").read_text() == text


def test_the_program(tmp_path, vocab):
    def run(*flags):
        command = [sys.executable, "-X", "importtime", "-m", "src.tools.prepare", "--vocab_file", str(vocab)]
        return subprocess.run([*command, *flags], cwd=ROOT, capture_output=True, text=True)

    done = run("--task_name", "sample", "--output_dir", str(tmp_path / "out"), "--max_rows", "20")
    assert done.returncode == 0 and "only the first 20 rows" in done.stdout
    # Writing TFRecord files needs no framework: that is what keeps it quick.
    assert "mindspore" not in done.stderr
    failed = run("--task_name", "smaple", "--output_dir", str(tmp_path / "other"))
    assert failed.returncode == 2 and 'did you mean "sample"' in failed.stderr
    assert "Traceback" not in failed.stderr and not (tmp_path / "other").exists()
