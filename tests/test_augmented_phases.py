"""run_task_distill.py on augmented records: the rows that each phase reads."""

import pytest

from run_task_distill import main
from src.config.td_config import resolve
from src.errors import UserError
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
SMALL = "--num_hidden_layers 1 --hidden_size 24 --num_attention_heads 4 --intermediate_size 40".split()
SHORT = "--length_buckets off --batch_size 8 --train_steps 1 --do_eval false".split()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, vocabulary):
    return tiny.write_model(tmp_path_factory.mktemp("teacher") / "model", vocabulary)


@pytest.fixture(scope="module")
def augmented(tmp_path_factory, vocabulary):
    """Records of 64 rows; the fixture `sst2` has 40."""
    texts = {"train": tiny.single_rows(64, 7), "dev": tiny.single_rows(4, 2)}
    return tiny.prepare_task(tmp_path_factory.mktemp("augmented"), vocabulary, "SST-2", texts)


def rows_by_phase(records, out, teacher, **values):
    """Train one step of each phase; returns the number of rows that the log reports for each."""
    flags = {
        "task_name": "SST-2",
        "train_data_dir": records,
        "load_teacher_ckpt_path": teacher,
        "output_dir": out,
        **values,
    }
    main([*tiny.flags(**flags), *SMALL, *SHORT])
    lines = (out / "log.txt").read_text().splitlines()
    return [int(line.partition("): ")[2].split()[0]) for line in lines if " rows, batch " in line]


def test_phase2_augmented_false_reads_the_original_rows(sst2, augmented, teacher, tmp_path):
    flags = {"augmented_data_dir": augmented, "phase2_augmented": "false"}
    assert rows_by_phase(sst2, tmp_path / "out", teacher, **flags) == [64, 40]


def test_both_phases_read_augmented_rows_by_default(augmented, teacher, tmp_path):
    # This needs no original records. Without phase 1 there is one graph fewer to compile.
    flags = {"augmented_data_dir": augmented, "td_phase1_epoch_size": 0}
    assert rows_by_phase("", tmp_path / "out", teacher, **flags) == [64]


@pytest.mark.parametrize(
    "task, flags, expected",
    [("STS-B", [], False), ("STS-B", ["--phase2_augmented", "true"], True), ("SST-2", [], True)],
)
def test_phase_2_uses_the_original_rows_by_default_for_sts_b_only(task, flags, expected):
    assert resolve(["--task_name", task, *flags])[1].config.phase2_augmented is expected


def test_augmented_records_of_another_task_are_rejected(sst2, teacher, vocabulary, tmp_path):
    texts = {name: tiny.mnli_rows(4, 1) for name in ("train", "dev_matched", "dev_mismatched")}
    records = tiny.prepare_task(tmp_path, vocabulary, "MNLI", texts)
    with pytest.raises(UserError, match="labels"):
        rows_by_phase(sst2, tmp_path / "out", teacher, augmented_data_dir=records)
    assert not (tmp_path / "out").exists()
