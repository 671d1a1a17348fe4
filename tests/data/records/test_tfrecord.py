"""tf.train.Example messages read back by the classes of the tfrecord package."""

import numpy as np

from src.data.records.tfrecord import examples


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
