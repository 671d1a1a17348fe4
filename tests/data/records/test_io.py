"""Record files: written and read in both forms, refused with a sentence when something is wrong."""

import json
import logging
import struct

import numpy as np
import pytest
from tfrecord.writer import TFRecordWriter

from src.data.dataset import TokenizedDataset
from src.data.records import tfrecord as tfrecord_files
from src.data.records.io import check_labels, read_records, schema_of, write_records
from src.data.records.paths import record_files
from src.data.splits import labeled_rows
from src.errors import UserError
from src.tasks import TASKS, TaskSpec

FORMS = ("tfrecord", "mindrecord")


def table_of(rows, seed=0, length=16, labels=True):
    draw = np.random.default_rng(seed)
    lengths = draw.integers(2, length + 1, rows)
    segments = np.concatenate([np.arange(n) >= n // 2 for n in lengths])
    return TokenizedDataset.from_flat(
        draw.integers(1, 30000, lengths.sum()),
        segments,
        lengths,
        draw.integers(0, 2, rows) if labels else None,
        length,
    )


def assert_same(one, other):
    for name in ("tokens", "segments", "offsets", "labels"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert one.max_seq_length == other.max_seq_length


def google_records(path, rows):
    """What BERT's run_classifier.py writes; `rows` are (ids, real) and padded to 8."""
    writer = TFRecordWriter(str(path))
    for ids, real in rows:
        pad = [0] * (8 - len(ids))
        writer.write(
            {
                "input_ids": (ids + pad, "int"),
                "input_mask": ([1] * len(ids) + pad, "int"),
                "segment_ids": ([0] * 8, "int"),
                "label_ids": ([1], "int"),
                "is_real_example": ([int(real)], "int"),
            }
        )
    writer.close()
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rows", [1, 2500])
def test_round_trip(tmp_path, form, rows):
    table = table_of(rows)
    write_records(tmp_path / f"train.{form}", table, form)
    assert_same(read_records(tmp_path / f"train.{form}", form), table)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("form", FORMS)
def test_scores_and_rows_without_labels(tmp_path, form):
    table = table_of(5)
    table.labels = np.array([0.25, 5, 1.2, 3, 4], np.float32)
    write_records(tmp_path / f"scores.{form}", table, form)
    assert_same(read_records(tmp_path / f"scores.{form}", form), table)
    table.labels = None
    write_records(tmp_path / f"plain.{form}", table, form)
    assert read_records(tmp_path / f"plain.{form}", form).labels is None


def test_the_columns_are_int64_of_fixed_length(tmp_path):
    from tfrecord import example_pb2

    write_records(tmp_path / "a.tfrecord", table_of(1), "tfrecord")
    data = (tmp_path / "a.tfrecord").read_bytes()
    features = example_pb2.Example.FromString(data[12:-4]).features.feature
    assert sorted(features) == ["input_ids", "input_mask", "label_ids", "segment_ids"]
    assert {name: len(column.int64_list.value) for name, column in features.items()} == {
        "input_ids": 16,
        "input_mask": 16,
        "segment_ids": 16,
        "label_ids": 1,
    }


def test_invalid_example_messages(tmp_path):
    path = tmp_path / "train.tfrecord"
    write_records(path, table_of(1), "tfrecord")
    size, data = struct.pack("<Q", 7), b"nothing"
    path.write_bytes(size + TFRecordWriter.masked_crc(size) + data + TFRecordWriter.masked_crc(data))
    with pytest.raises(UserError, match="train.tfrecord, row 1: not a tf.train.Example"):
        read_records(path)


def test_googles_records_load(tmp_path):
    rows = [([101, 7, 102], True), ([101, 8, 9, 102], True), ([], False)]
    path = google_records(tmp_path / "eval.tf_record", rows)
    table = read_records(path)
    assert table.tokens.tolist() == [101, 7, 102, 101, 8, 9, 102] and table.labels.tolist() == [1, 1]
    assert table.manifest is None
    assert read_records(tmp_path, split="dev").rows == 2


@pytest.mark.parametrize("form", FORMS)
def test_files_lists_and_folders(tmp_path, form):
    tables = {name: table_of(20, seed) for seed, name in enumerate(("train", "dev", "train-1", "train-2"))}
    for name in ("train", "dev"):
        write_records(tmp_path / "a" / f"{name}.{form}", tables[name], form)
    for name in ("train-1", "train-2"):
        write_records(tmp_path / "b" / f"{name}.{form}", tables[name], form)
    both = f"{tmp_path}/a/train.{form},{tmp_path}/a/dev.{form}"
    assert_same(read_records(f"{both}, ", form), TokenizedDataset.joined([tables["train"], tables["dev"]]))
    assert_same(read_records(tmp_path / "a", form, split="dev"), tables["dev"])
    assert_same(
        read_records(tmp_path / "b", form, split="train"),
        TokenizedDataset.joined([tables["train-1"], tables["train-2"]]),
    )
    assert read_records(tmp_path / "a", form).rows == 40
    with pytest.raises(UserError, match=f"holds no dev records; it holds train-1.{form}, train-2.{form}"):
        read_records(tmp_path / "b", form, split="dev")


def test_a_folder_without_split_names_is_read_whole(tmp_path):
    for name in ("part-0.tfrecord", "part-1.tfrecord"):
        write_records(tmp_path / name, table_of(3), "tfrecord")
    (tmp_path / "notes.txt").write_text("x")
    assert [path.name for path in record_files(tmp_path, "tfrecord", "train")] == [
        "part-0.tfrecord",
        "part-1.tfrecord",
    ]


def test_folders_without_records(tmp_path):
    with pytest.raises(UserError, match="holds no tfrecord files"):
        read_records(tmp_path)
    write_records(tmp_path / "train.mindrecord", table_of(3), "mindrecord")
    with pytest.raises(UserError, match="give --dataset_type mindrecord"):
        read_records(tmp_path)
    with pytest.raises(UserError, match="absent does not exist"):
        read_records(tmp_path / "absent")


@pytest.mark.parametrize("form, other", [FORMS, FORMS[::-1]])
def test_the_other_dataset_type(tmp_path, form, other):
    write_records(tmp_path / "train", table_of(3), form)
    with pytest.raises(UserError, match=f"give --dataset_type {form}"):
        read_records(tmp_path / "train", other)


@pytest.mark.parametrize("cut", [1, 20, 2000, -13])
def test_a_truncated_tfrecord_file(tmp_path, cut):
    path = tmp_path / "train.tfrecord"
    write_records(path, table_of(40), "tfrecord")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UserError, match="train.tfrecord is (truncated or damaged at row|not a TFRecord)"):
        read_records(path)


def test_a_flipped_byte(tmp_path):
    path = tmp_path / "train.tfrecord"
    write_records(path, table_of(40), "tfrecord")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"damaged at row \d+"):
        read_records(path)


def test_truncation_between_rows_is_detected_by_the_manifest(tmp_path):
    path = tmp_path / "train.tfrecord"
    write_records(path, table_of(3), "tfrecord")
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {"train": {"file": path.name, "rows": 4}}}))
    with pytest.raises(UserError, match="holds 3 rows where 4 were written"):
        read_records(path)


def test_a_missing_shard_is_not_passed_over(tmp_path):
    shards = [tmp_path / f"corpus-0000{number}-of-00002.tfrecord" for number in range(2)]
    for path in shards:
        write_records(path, table_of(3), "tfrecord")
    entries = {path.stem: {"file": path.name, "rows": 3} for path in shards}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": entries}))
    assert read_records(tmp_path).rows == 6
    shards[1].unlink()
    assert read_records(shards[0]).rows == 3
    with pytest.raises(UserError, match="corpus-00001-of-00002.tfrecord does not exist, but .* lists it"):
        read_records(tmp_path)


def test_a_truncated_or_orphaned_mindrecord_file(tmp_path):
    path = tmp_path / "train.mindrecord"
    write_records(path, table_of(40), "mindrecord")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(UserError, match="train.mindrecord (cannot be read|is no readable MindRecord file)"):
        read_records(path, "mindrecord")
    (tmp_path / "train.mindrecord.db").unlink()
    with pytest.raises(UserError, match="its index train.mindrecord.db is missing"):
        read_records(path, "mindrecord")


def test_an_empty_file_and_another_file(tmp_path):
    (tmp_path / "a.tfrecord").write_bytes(b"")
    (tmp_path / "b.tfrecord").write_text("sentence\tlabel\n")
    with pytest.raises(UserError, match="a.tfrecord is empty"):
        read_records(tmp_path / "a.tfrecord")
    with pytest.raises(UserError, match="b.tfrecord is not a TFRecord file"):
        read_records(tmp_path / "b.tfrecord")


MISFITS = {
    "column": ({"input_ids": [1, 2]}, "has no column input_mask, segment_ids; it has input_ids"),
    "mask": ({"input_ids": [1, 2], "input_mask": [0, 1], "segment_ids": [0, 0]}, "not ones followed by"),
    "blank": ({"input_ids": [1, 2], "input_mask": [0, 0], "segment_ids": [0, 0]}, "not ones followed by"),
    "shape": ({"input_ids": [1, 2], "input_mask": [1], "segment_ids": [0, 0]}, "differ in shape"),
    "ids": ({"input_ids": [1, -2], "input_mask": [1, 1], "segment_ids": [0, 0]}, "out of range"),
    "large id": (
        {"input_ids": [1, 2**33], "input_mask": [1, 1], "segment_ids": [0, 0]},
        "input_ids are out of range",
    ),
    "segment": (
        {"input_ids": [1, 2], "input_mask": [1, 1], "segment_ids": [0, 256]},
        "segment_ids are out of range",
    ),
    "large label": (
        {"input_ids": [1], "input_mask": [1], "segment_ids": [0], "label_ids": [2**32]},
        "label_ids are out of range",
    ),
    "label": (
        {"input_ids": [1, 2], "input_mask": [1, 1], "segment_ids": [0, 0], "label_ids": [0, 1, 0]},
        "label_ids holds 3 values per row",
    ),
}


@pytest.mark.parametrize("row, complaint", MISFITS.values(), ids=MISFITS)
def test_invalid_token_rows(tmp_path, row, complaint):
    path = tmp_path / "train.tfrecord"
    tfrecord_files.write(path, [{name: np.array([values]) for name, values in row.items()}])
    with pytest.raises(UserError, match=complaint):
        read_records(path)


def test_incompatible_files(tmp_path):
    for name, table in (("a", table_of(3)), ("b", table_of(3, length=24)), ("c", table_of(3, labels=False))):
        write_records(tmp_path / f"{name}.tfrecord", table, "tfrecord")
    with pytest.raises(UserError, match="different lengths: a.tfrecord 16, b.tfrecord 24"):
        read_records(f"{tmp_path}/a.tfrecord,{tmp_path}/b.tfrecord")
    scores = table_of(3)
    scores.labels = np.ones(3, np.float32)
    write_records(tmp_path / "d.tfrecord", scores, "tfrecord")
    with pytest.raises(UserError, match="differ in the kind of their label_ids: a.tfrecord, d.tfrecord"):
        read_records(f"{tmp_path}/a.tfrecord,{tmp_path}/d.tfrecord")
    # Rows without labels join those that have some.
    joined = read_records(f"{tmp_path}/a.tfrecord,{tmp_path}/c.tfrecord")
    assert joined.labels.tolist() == [*table_of(3).labels, -100, -100, -100]
    assert joined.labeled.tolist() == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    "what, values", [("tokenizer", [{"hash": "a"}, {"hash": "b"}]), ("labels", [["0", "1"], ["no", "yes"]])]
)
def test_folders_prepared_with_other_settings(tmp_path, what, values):
    folders = [tmp_path / name for name in "abc"]
    for folder, value in zip(folders, (values[0], values[0], values[1]), strict=True):
        write_records(folder / "train.tfrecord", table_of(3), "tfrecord")
        manifest = {what: value, "files": {"train": {"file": "train.tfrecord", "rows": 3}}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    assert read_records(f"{folders[0]},{folders[1]}", split="train").rows == 6
    with pytest.raises(UserError, match=f"{folders[0]} and in {folders[2]} do not have the same {what}"):
        read_records(f"{folders[0]},{folders[2]}", split="train")
    write_records(folders[1] / "train.tfrecord", table_of(2), "tfrecord")
    with pytest.raises(UserError, match="b/train.tfrecord holds 2 rows where 3 were written"):
        read_records(f"{folders[0]},{folders[1]}", split="train")


def test_the_schema_is_checked_but_never_truncates(tmp_path, caplog):
    path, table = tmp_path / "train.tfrecord", table_of(9)
    write_records(path, table, "tfrecord")
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({**schema_of(table), "numRows": 4}))
    with caplog.at_level(logging.WARNING):
        assert read_records(path).rows == 9
    assert "numRows is 4, but there are 9 rows" in caplog.text
    wrong = schema_of(table_of(9, length=32))
    (tmp_path / "other.json").write_text(json.dumps(wrong))
    with pytest.raises(UserError, match=r"other.json gives input_ids the shape \[32\], but"):
        read_records(path, schema=tmp_path / "other.json")
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(UserError, match="none.json: the key columns is missing; give the schema.json"):
        read_records(path, schema=tmp_path / "none.json")
    with pytest.raises(UserError, match="absent.json does not exist"):
        read_records(path, schema=tmp_path / "absent.json")


def test_labels_against_the_task():
    table = table_of(9)
    check_labels(table, TASKS["SST-2"], "here")
    with pytest.raises(UserError, match="class indices, but STS-B is a regression task"):
        check_labels(table, TASKS["STS-B"], "here")
    table.labels[3] = 2
    check_labels(table, TASKS["MNLI"], "here")
    with pytest.raises(UserError, match="labels from 0 to 2, but SST-2 has 2 classes"):
        check_labels(table, TASKS["SST-2"], "here")
    table.labels[3], table.manifest = 1, {"task": "RTE", "labels": ["entailment", "not_entailment"]}
    made_for = "prepared for RTE with the labels entailment, not_entailment, not for SST-2 with 0, 1"
    with pytest.raises(UserError, match=made_for):
        check_labels(table, TASKS["SST-2"], "here")
    table.manifest = {"task": "CoLA", "labels": ["0", "1"]}
    check_labels(table, TASKS["CoLA"], "here")
    with pytest.raises(UserError, match="prepared for CoLA, not for SST-2; give --task_name CoLA"):
        check_labels(table, TASKS["SST-2"], "here")
    table.manifest = {"task": "reviews", "labels": ["0", "1"]}
    check_labels(table, TASKS["SST-2"], "here")
    table.labels, table.manifest = np.full(9, np.inf, np.float32), None
    with pytest.raises(UserError, match="here holds labels that are not finite"):
        check_labels(table, TASKS["STS-B"], "here")


MARKED = {
    "classification": ("SST-2", np.array([1, -100, 0, -100, 1], np.int32)),
    "regression": ("STS-B", np.array([0.5, np.nan, -100, np.nan, 2], np.float32)),
    "multi_label": (
        "topics",
        np.array([[1, 0], [np.nan, np.nan], [0, 0], [np.nan, np.nan], [0, 1]], np.float32),
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name, labels", MARKED.values(), ids=MARKED)
def test_rows_without_a_label(tmp_path, form, name, labels):
    topics = TaskSpec("topics", ("text",), labels=("a", "b"), output_mode="multi_label")
    task = TASKS.get(name, topics)
    table = table_of(5)
    table.labels = labels
    assert schema_of(table)["columns"]["label_mask"] == {"type": "int64", "rank": 0, "shape": []}
    write_records(tmp_path / f"train.{form}", table, form)
    table = read_records(tmp_path / f"train.{form}", form)
    np.testing.assert_array_equal(table.labels, labels)
    assert table.labeled.tolist() == [True, False, True, False, True]
    check_labels(table, task, "here")
    said = []
    kept = labeled_rows(table, "here", said.append)
    np.testing.assert_array_equal(kept.labels, labels[[0, 2, 4]])
    assert said == ["here: 3 rows have a label; 2 have none and are left out"]
    with pytest.raises(UserError, match="here: none of the 2 rows has a label, which is needed"):
        labeled_rows(table.take([1, 3]), "here", said.append)
    # The marks do not hide a wrong label.
    table.labels.reshape(-1)[0] = 7 if labels.dtype == np.int32 else np.inf
    with pytest.raises(UserError, match="here holds labels"):
        check_labels(table, task, "here")


def test_a_damaged_label_mask(tmp_path):
    path = tmp_path / "train.tfrecord"
    columns = {name: np.ones((1, 2), np.int64) for name in ("input_ids", "input_mask", "segment_ids")}
    tfrecord_files.write(path, [{**columns, "label_ids": np.array([1]), "label_mask": np.array([2])}])
    with pytest.raises(UserError, match="train.tfrecord: a label_mask is neither 0 nor 1"):
        read_records(path)


def test_half_a_multi_label_row(tmp_path):
    table = table_of(2)
    table.labels = np.array([[1, 0], [np.nan, 1]], np.float32)
    task = TaskSpec("topics", ("text",), labels=("a", "b"), output_mode="multi_label")
    with pytest.raises(UserError, match="here holds labels that are not finite"):
        check_labels(table, task, "here")


def test_records_without_labels(tmp_path):
    table = table_of(4, labels=False)
    check_labels(table, TASKS["SST-2"], "here")
    assert not table.labeled.any()


def test_an_interrupted_write_leaves_nothing(tmp_path):
    table = table_of(2000)
    table.segments = table.segments[:-1]
    for form in FORMS:
        with pytest.raises(IndexError):
            write_records(tmp_path / f"train.{form}", table, form)
    assert not list(tmp_path.iterdir())


def test_an_unfinished_corpus_is_rejected(tmp_path):
    (tmp_path / "job.json").write_text("{}")
    (tmp_path / "corpus-00000-of-00002.tfrecord").write_bytes(b"")
    with pytest.raises(UserError, match="is not finished: prepare_corpus has shards left"):
        read_records(tmp_path)
