"""tf.train.Example messages read back by the classes of the tfrecord package."""

import re
import struct

import numpy as np
import pytest
from tfrecord.writer import TFRecordWriter

from src.data.records.reader import read_file
from src.data.records.tfrecord import examples
from src.errors import UserError


def decoded(chunk):
    from tfrecord import example_pb2

    for data in examples(chunk):
        features = example_pb2.Example.FromString(data).features.feature
        yield {
            name: list(column.float_list.value or column.int64_list.value)
            for name, column in features.items()
        }


def test_every_width_of_integer():
    draw = np.random.default_rng(1)
    values = draw.integers(0, 1 << 62, (500, 7)) >> draw.integers(0, 63, (500, 7))
    values[0] = [0, 127, 128, 16383, 16384, (1 << 63) - 1, -1]
    read = [row["input_ids"] for row in decoded({"input_ids": values})]
    assert read == values.tolist()


def test_columns_of_a_row():
    chunk = {
        "input_ids": np.array([[5, 300], [0, 0]]),
        "label_ids": np.array([1, 0]),
        "score": np.array([0.25, -1.5], np.float32),
    }
    assert list(decoded(chunk)) == [
        {"input_ids": [5, 300], "label_ids": [1], "score": [0.25]},
        {"input_ids": [0, 0], "label_ids": [0], "score": [-1.5]},
    ]


def test_a_chunk_without_rows():
    assert not list(examples({"input_ids": np.zeros((0, 4), np.int64)}))


def framed(data, size=None):
    """A record as TFRecord frames it, which may claim another size."""
    header = struct.pack("<Q", len(data) if size is None else size)
    return header + TFRecordWriter.masked_crc(header) + data + TFRecordWriter.masked_crc(data)


def rows_of(count, **columns):
    ones, zeros = np.ones((count, 4), np.int64), np.zeros((count, 4), np.int64)
    return list(examples({"input_ids": ones, "input_mask": ones, "segment_ids": zeros, **columns}))


ROWS = rows_of(2, label_ids=np.array([1, 0]))
HOSTILE = {
    "a record of 2^40 bytes": (framed(ROWS[0], 1 << 40), "truncated or damaged at row 1"),
    "a record of 2^63 bytes": (framed(ROWS[0]) + framed(ROWS[1], 1 << 63), "truncated or damaged at row 2"),
    "no Example": (framed(ROWS[0]) + framed(b"\xff" * 9), "row 2: not a tf.train.Example"),
    "a column is missing": (framed(ROWS[0]) + framed(rows_of(1)[0]), "row 2: there is no column label_ids"),
    "another length": (
        framed(ROWS[0]) + framed(rows_of(1, label_ids=np.array([[1, 1]]))[0]),
        "row 2: label_ids holds 2 numbers of type int64, row 1 1 of type int64",
    ),
    "another type": (
        framed(ROWS[0]) + framed(rows_of(1, label_ids=np.array([1.0]))[0]),
        "row 2: label_ids holds 1 numbers of type float32, row 1 1 of type int64",
    ),
    "no numbers": (framed(rows_of(1, input_ids=np.zeros((1, 0), np.int64))[0]), "differ in shape"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_one_sentence_with_the_row(name, tmp_path):
    content, words = HOSTILE[name]
    (tmp_path / "train.tfrecord").write_bytes(content)
    with pytest.raises(UserError, match=f"train.tfrecord.*{re.escape(words)}"):
        read_file(tmp_path / "train.tfrecord", "tfrecord")


def test_mutated_examples_are_one_sentence(tmp_path, capfd):
    """With right checksums: nothing of the parser reaches the terminal, where C++ would print the bytes."""
    rng, refused, path = np.random.default_rng(5), 0, tmp_path / "train.tfrecord"
    for _ in range(300):
        data = bytearray(ROWS[1])
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            data[place] = rng.integers(256)
        path.write_bytes(framed(ROWS[0]) + framed(bytes(data)))
        try:
            read_file(path, "tfrecord")
        except UserError as error:
            refused += 1
            assert str(error).isprintable() and str(path) in str(error)
    assert 100 < refused < 300 and capfd.readouterr() == ("", "")
