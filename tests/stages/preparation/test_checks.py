"""Warnings about records: a healthy set has none, and each limit has its two sides."""

import numpy as np
import pytest

from src.data.dataset import TokenizedDataset
from src.stages.preparation.checks import label_warnings, record_warnings, row_keys
from src.tasks import IGNORE_INDEX, find_task

HEALTHY = {"rows": 1000, "truncated": 50, "unk_share": 0.02, "rows_in_train": 20}


@pytest.mark.parametrize(
    "changes, found",
    [
        ({}, []),
        ({"truncated": 60}, ["6% of the rows of dev are cut"]),
        ({"unk_share": 0.031}, ["3.1% of the tokens of dev are [UNK]"]),
        ({"rows_in_train": 21}, ["21 of the 1,000 rows of dev are also rows of train"]),
    ],
)
def test_records(changes, found):
    warned = record_warnings("dev", {**HEALTHY, **changes})
    assert len(warned) == len(found) and all(map(str.startswith, warned, found))


def test_records_of_earlier_versions():
    assert record_warnings("dev", {"rows": 3}) == []


def test_classes_with_few_rows():
    task = find_task("SST-2")

    def warned(labels, lengths=None):
        lengths = [1] * len(labels) if lengths is None else lengths
        rows = TokenizedDataset.from_flat(np.ones(len(labels)), np.zeros(len(labels)), lengths, labels, 16)
        return label_warnings(task, "dev", rows)

    assert warned([0] * 10 + [1] * 10) == []
    assert warned([0] * 10 + [1] * 9)[0].startswith("dev has fewer than 10 rows of 1 (9): ")
    few = warned([0, IGNORE_INDEX, 1, IGNORE_INDEX] * 5, [4] * 5)
    assert few[0].startswith("dev has fewer than 10 tokens of 0 (5), 1 (5): ")


def test_rows_are_compared_by_their_tokens():
    rows = TokenizedDataset.from_flat([1, 2, 3, 1, 2, 1, 2], np.zeros(7), [2, 1, 2, 2], None, 8)
    keys = row_keys(rows)
    assert keys[0] == keys[2] == keys[3] != keys[1]
