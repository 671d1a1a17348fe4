"""MindRecord files on a disk that refuses them: the framework's writer reports little of it, or crashes."""

import resource

import numpy as np
import pytest
from mindspore.mindrecord import FileWriter

from src.data.records import mindrecord
from src.errors import WriteError

PAGE = mindrecord.PAGE_SIZE


def chunks(count=3, rows=1024):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield {"input_ids": rng.integers(0, 99, (rows, 64)), "label_ids": rng.integers(0, 2, rows)}


@pytest.mark.parametrize("limit", [0, PAGE, PAGE + 300, 2 * PAGE + 500])
def test_a_full_disk_is_one_sentence(tmp_path, limit):
    """At the first row, which was a segmentation fault, and at later ones."""
    path = tmp_path / "train.mindrecord"
    mindrecord.write(path, chunks(1, 5))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))  # maximum file size in bytes
    try:
        with pytest.raises(WriteError, match=r"train.mindrecord could not be written: .*; any previous"):
            mindrecord.write(path, chunks())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_framework_s_check_of_the_free_space(tmp_path, monkeypatch):
    def fail(*arguments):
        raise RuntimeError(
            "Dataset Pipeline Error Message:\n[ERROR] No free disk to be used while writing, free: 4"
        )

    monkeypatch.setattr(FileWriter, "write_raw_data", fail)
    with pytest.raises(WriteError, match="a.mindrecord could not be written: no space left on the disk; any"):
        mindrecord.write(tmp_path / "a.mindrecord", chunks())
    assert not any(tmp_path.iterdir())


def test_rows_stay_in_order(tmp_path):
    mindrecord.write(tmp_path / "a.mindrecord", chunks())
    batches = list(mindrecord.batches(tmp_path / "a.mindrecord", ("input_ids", "label_ids")))
    for name in ("input_ids", "label_ids"):
        expected = np.concatenate([chunk[name] for chunk in chunks()])
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch in batches]), expected)
