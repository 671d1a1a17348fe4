"""A run with --profile: its tables, its last lines, and the same weights as without."""

import csv
import re

import numpy as np
from safetensors.numpy import load_file

from run_finetune import main as finetune
from tests.tiny import TINY, assert_overwritable, flags, write_model


def test_the_same_weights_with_and_without_a_profile(tmp_path, vocabulary, sst2):
    start = write_model(tmp_path / "start", vocabulary, TINY.replace(num_hidden_layers=1))
    shared = flags(task_name="SST-2", train_data_dir=sst2, eval_data_dir=sst2, load_pretrained_path=start)
    shared += flags(batch_size=8, epoch_size=1, length_buckets="off")
    weights = {}
    for name, steps in (("plain", 0), ("profiled", 2)):
        finetune([*shared, *flags(output_dir=tmp_path / name, profile=steps)])
        weights[name] = load_file(tmp_path / name / "last" / "model.safetensors")
    assert weights["plain"].keys() == weights["profiled"].keys()
    assert all(np.array_equal(weights["plain"][key], weights["profiled"][key]) for key in weights["plain"])
    assert not (tmp_path / "plain" / "profile").exists()
    assert_overwritable(tmp_path / "profiled")
    with open(tmp_path / "profiled" / "profile" / "phase1_operators.csv", newline="") as file:
        names = {row["operator"] for row in csv.DictReader(file)}
    assert {"MatMul", "MatMul, backward"} <= names
    log = (tmp_path / "profiled" / "log.txt").read_text().splitlines()
    for expected in (
        r"profile of 2 steps, in each: waiting for data \d+\.\d\d ms, .*",
        r"throughput: \d+\.\d examples/s, \d+ real tokens/s, \d+\.\d GFLOP/s \(matmul rate not measured\)",
        r"compiled \d graphs in \d+\.\d s, waited for data \d+\.\d\d% of the time",
    ):
        assert any(re.fullmatch(expected, line) for line in log), expected
