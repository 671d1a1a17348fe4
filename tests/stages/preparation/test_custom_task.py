"""A task of one's own through prepare and augment: records of every output mode, no row on both sides."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from src.config.task.from_records import task_for
from src.data.augmentation.rows import SeenTexts, text_hash
from src.data.records.io import check_labels, read_records
from src.errors import UserError
from src.stages.augmentation import augment as augmentation
from src.stages.augmentation.text import text_of
from src.tools.augment import main as augment
from src.tools.prepare import main
from tests import tiny
from tests.test_bad_input import here, refused  # noqa: F401  (here is a fixture)

TOPICS = {"food": tiny.WORDS[20], "price": tiny.WORDS[21], "service": tiny.WORDS[22]}


def topic_rows(count, seed=1):
    """CSV of texts and topics, one word a topic."""
    draw = np.random.default_rng(seed)
    topics = draw.choice(list(TOPICS), count)
    lines = [f"{number},{tiny.sentence(draw, TOPICS[topic])},{topic}" for number, topic in enumerate(topics)]
    return "\n".join(["id,review,topic", *lines]) + "\n"


@pytest.fixture
def task_file(tmp_path):
    """A task file beside its 60 rows."""
    (tmp_path / "reviews.csv").write_text(topic_rows(60))
    file = tmp_path / "reviews.yaml"
    file.write_text("train_file: reviews.csv\ntext_columns: review\nlabel_column: topic\ndev_share: 0.2\n")
    return file


def prepare(out, vocabulary, **flags):
    main(tiny.flags(vocab_file=vocabulary, output_dir=out, max_seq_length=16, **flags))
    return json.loads((out / "manifest.json").read_text())


def tokens_of(folder, split):
    table = read_records(folder, split=split)
    return [tuple(table.tokens[a:b]) for a, b in zip(table.offsets, table.offsets[1:], strict=False)]


def test_a_task_file(tmp_path, vocabulary, task_file, capsys):
    manifest = prepare(tmp_path / "records", vocabulary, task_file=task_file)
    assert manifest["labels"] == ["food", "price", "service"] and manifest["task"] == "reviews"
    assert manifest["split"] == {"dev_share": 0.2, "split_seed": 1}
    counts = manifest["label_counts"]
    sizes = {split: sum(of_label.values()) for split, of_label in counts.items()}
    assert sizes == {split: manifest["files"][split]["rows"] for split in ("train", "dev")}
    assert sum(sizes.values()) == 60
    said = capsys.readouterr().out
    assert f"{sizes['dev']} rows of {task_file.parent / 'reviews.csv'} were split off" in said
    assert "labels of dev: food " in said and "(dev_share 0.2, split_seed 1, stratified)" in said
    task = task_for({"train_data_dir": str(tmp_path / "records")})
    table = read_records(tmp_path / "records", split="dev")
    check_labels(table, task, "here")
    assert np.bincount(table.labels).tolist() == list(counts["dev"].values())


def test_flags_give_the_same_records(tmp_path, vocabulary, task_file):
    prepare(tmp_path / "one", vocabulary, task_file=task_file)
    words = ["--text_columns", "review", "--label_column", "topic", "--dev_share", "0.2"]
    places = tiny.flags(vocab_file=vocabulary, output_dir=tmp_path / "two", max_seq_length=16)
    main([*places, "--train_file", str(tmp_path / "reviews.csv"), *words])
    for name in ("train.tfrecord", "dev.tfrecord", "manifest.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


@pytest.mark.parametrize("form", ["tfrecord", "mindrecord"])
def test_multi_label_rows(tmp_path, vocabulary, form):
    rows = [("baba", ["a", "c"]), ("bade", []), ("baki", ["b"])] * 4
    text = "\n".join(json.dumps({"review": review, "label": labels}) for review, labels in rows)
    records, file = tmp_path / "records", tmp_path / "rows.jsonl"
    file.write_text(text)
    flags = {"train_file": file, "dev_file": file, "text_columns": "review"}
    manifest = prepare(records, vocabulary, **flags, output_mode="multi_label", dataset_type=form)
    assert manifest["labels"] == ["a", "b", "c"]
    assert manifest["label_counts"]["train"] == {"a": 4, "b": 4, "c": 4}
    table = read_records(records, form, split="train")
    assert table.labels.dtype == np.float32
    assert table.labels.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]] * 4
    assert table.take([2, 0]).labels.tolist() == [[0, 1, 0], [1, 0, 1]]
    check_labels(table, task_for({"eval_data_dir": str(records)}), "here")
    column = json.loads((records / "schema.json").read_text())["columns"]["label_ids"]
    assert column == {"type": "float32", "rank": 1, "shape": [3]}


def test_sentences_are_split_at_random(tmp_path, vocabulary, capsys):
    file = tmp_path / "names.txt"
    words = tiny.WORDS[:20]
    file.write_text(
        "".join(f"{word} {'BO'[i % 2]}{'-PER' * (1 - i % 2)}\n\n" for i, word in enumerate(words))
    )
    prepare(tmp_path / "records", vocabulary, train_file=file, output_mode="token_classification")
    assert "2 rows of " in (said := capsys.readouterr().out) and "split_seed 1, random)" in said


def test_scores(tmp_path, vocabulary):
    text = "first\tsecond\tscore\n" + "".join(f"{tiny.WORDS[n]}\tbade\t{n / 4}\n" for n in range(20))
    file = tmp_path / "pairs.tsv"
    file.write_text(text)
    words = ["--text_columns", "first", "second", "--label_column", "score", "--output_mode", "regression"]
    places = tiny.flags(vocab_file=vocabulary, output_dir=tmp_path / "records", train_file=file)
    main([*places, *words])
    scores = [read_records(tmp_path / "records", split=split).labels for split in ("train", "dev")]
    assert sorted(np.concatenate(scores).tolist()) == [n / 4 for n in range(20)] and len(scores[1]) == 2
    assert task_for({"train_data_dir": str(tmp_path / "records")}).max_seq_length == 128


def test_the_split_file_may_be_given_again(tmp_path, vocabulary, task_file):
    once = prepare(tmp_path / "once", vocabulary, task_file=task_file)
    again = tmp_path / "once" / ".." / "reviews.csv"
    assert prepare(tmp_path / "twice", vocabulary, task_file=task_file, train_file=again) == once


def test_overlapping_rows_are_counted(tmp_path, vocabulary, task_file, capsys):
    prepare(tmp_path / "clean", vocabulary, task_file=task_file)
    assert "also rows of train" not in capsys.readouterr().out
    # The rows of an augmented file that was made with another draw of the dev rows.
    file = tmp_path / "reviews_aug.csv"
    file.write_bytes((tmp_path / "reviews.csv").read_bytes())
    prepare(tmp_path / "both", vocabulary, task_file=task_file, train_file=file)
    assert "warning: 12 of the 12 rows of dev are also rows of train" in capsys.readouterr().out


def test_augmented_rows_never_reach_dev(tmp_path, vocabulary, task_file, capsys):
    model = tiny.write_model(tmp_path / "model", vocabulary, tiny.TINY)
    augment(tiny.flags(task_file=task_file, load_teacher_ckpt_path=model, copies=3, candidates=3))
    said = capsys.readouterr().out
    made = tmp_path / "reviews_aug.csv"
    rows = list(csv.DictReader(made.open()))
    prepare(tmp_path / "plain", vocabulary, task_file=task_file)
    manifest = prepare(tmp_path / "augmented", vocabulary, task_file=task_file, train_file=made)
    held = sum(manifest["label_counts"]["dev"].values())
    assert f"{held} rows of {tmp_path / 'reviews.csv'} are split off for dev" in said
    assert manifest["files"]["train"]["rows"] == len(rows) > 2 * (60 - held)
    assert tokens_of(tmp_path / "augmented", "dev") == tokens_of(tmp_path / "plain", "dev")
    original = list(csv.DictReader((tmp_path / "reviews.csv").open()))
    ids = {row["id"] for row in rows}
    assert len(ids) == 60 - held and rows[: len(ids)] == [row for row in original if row["id"] in ids]
    # A copy keeps the id and the label of its row.
    assert {(row["id"], row["topic"]) for row in rows} == {
        (row["id"], row["topic"]) for row in original if row["id"] in ids
    }


def test_copies_with_the_text_of_a_dev_row_are_dropped(task_file):
    config = SimpleNamespace(
        task_file=str(task_file), task_name="", data_dir="", max_rows=-1, on_bad_row="error"
    )
    text, seen = text_of(config), SeenTexts()
    stats = SimpleNamespace(add=lambda texts: None)
    trained = augmentation._collect_stats(text, stats, seen)
    rows = list(csv.DictReader((task_file.parent / "reviews.csv").open()))
    held_out = [row["review"] for row in rows if [row["review"]] in list(text.held_out_texts())]
    assert trained + len(held_out) == len(rows) and held_out
    assert not seen.unseen([text_hash([each.upper()]) for each in held_out]).any()
    assert seen.unseen([text_hash(["another text"])]).all()


CASES = {
    "flag of an own task": (
        ["--task_name", "SST-2", "--label_column", "x"],
        "--label_column is for a custom",
    ),
    "folder": (["--text_columns", "review", "--data_dir", "."], "--data_dir is for GLUE tasks"),
    "no task": ([], "--task_name is required: a GLUE task or sample; or --text_columns"),
    "no rows": (["--text_columns", "review"], "train_file is required"),
    "dev alone": (["--text_columns", "review", "--dev_file", "reviews.csv"], "dev_file alone is not enough"),
    "absent": (["--text_columns", "review", "--train_file", "none.csv"], "none.csv does not"),
    "absent task": (["--task_file", "none.yaml"], "none.yaml does not exist"),
    "column": (["--train_file", "reviews.csv", "--text_columns", "text"], "the header lacks text"),
    "form": (
        ["--train_file", "reviews.xlsx", "--text_columns", "review"],
        "has no supported suffix",
    ),
    "below a file": (
        ["--task_file", "reviews.yaml", "--output_dir", "other.csv/out"],
        "output_dir other.csv/out is below other.csv, which is a file",
    ),
    "other split": (
        ["--task_file", "reviews.yaml", "--train_file", "other.csv", "--split_seed", "2"],
        "copies of them may be in other.csv; set it in reviews.yaml, and augment again",
    ),
    "other first rows": (
        ["--task_file", "reviews.yaml", "--train_file", "other.csv", "--max_rows", "20"],
        "--max_rows changes which rows of reviews.csv are held out for dev",
    ),
    "other rows": (["--task_file", "reviews.yaml", "--train_file", "other.csv"], 'csv, line 2: label "odd"'),
}


@pytest.mark.parametrize("flags, complaint", CASES.values(), ids=CASES)
def test_wrong_inputs(here, vocabulary, task_file, capsys, flags, complaint):  # noqa: F811
    (here / "other.csv").write_text("id,review,topic\n1,baba,odd\n")
    places = ["--vocab_file", str(vocabulary), "--output_dir", "out"]
    assert complaint in refused(main, [*places, *flags], capsys)


def test_wrong_inputs_of_augmentation(here, task_file, capsys):  # noqa: F811
    assert "--task_name is required" in refused(augment, [], capsys)
    assert "--data_dir is required" in refused(augment, ["--task_name", "SST-2"], capsys)
    flags = ["--task_file", "reviews.yaml", "--task_name", "SST-2"]
    assert "omit --task_name and --data_dir" in refused(augment, flags, capsys)


def test_records_of_another_task(tmp_path, vocabulary, task_file):
    prepare(tmp_path / "records", vocabulary, task_file=task_file)
    from src.config.finetune_config import resolve

    flags = tiny.flags(train_data_dir=tmp_path / "records")
    task, resolved = resolve(flags)
    assert task.labels == ("food", "price", "service") and resolved.origins["epoch_size"] == "recipe"
    with pytest.raises(UserError, match="--task_name SST-2 contradicts the records .*, which are of reviews"):
        resolve([*flags, "--task_name", "SST-2"])


def test_a_teacher_agrees_with_all_labels_or_not():
    from src.stages.augmentation.filter import LABEL_CONFIDENCE

    sure = np.log([0.9 / 0.1, 0.2 / 0.8])  # logits of the probabilities 0.9 and 0.2
    marks = np.array([[1, 0], [1, 1], [0, 0]])
    confidence = LABEL_CONFIDENCE["multi_label"](np.array([sure] * 3), marks)
    np.testing.assert_allclose(confidence, [0.8, 0, 0], rtol=1e-6)
    confidence = LABEL_CONFIDENCE["classification"](np.log([[0.7, 0.3], [0.7, 0.3]]), np.array([0, 1]))
    np.testing.assert_allclose(confidence, [0.7, 0], rtol=1e-6)


def test_an_export_is_compared_label_by_label():
    from src.stages.serving.verify import Comparison

    expected = np.array([[2.0, -1.0], [0.1, -3.0]])
    found = Comparison.of(expected + [[0.0, 0.0], [-0.3, 0.0]], expected, "multi_label")
    assert (found.count, found.changed, found.margin) == (2, 1, pytest.approx(0.1))
    assert (found.largest, found.scale) == (pytest.approx(0.3), pytest.approx(np.sqrt(14.01 / 4)))
