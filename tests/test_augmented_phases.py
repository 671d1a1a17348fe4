"""run_task_distill.py on augmented records: which phase reads which rows."""

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
    """Records of 64 rows; those of the fixture sst2 have 40."""
    texts = {"train": tiny.single_rows(64, 7), "dev": tiny.single_rows(4, 2)}
    return tiny.prepare_task(tmp_path_factory.mktemp("augmented"), vocabulary, "SST-2", texts)


def phases(records, out, teacher, **values):
    """The rows of each phase, as the log of one step of each says them."""
    places = {
        "task_name": "SST-2",
        "train_data_dir": records,
        "load_teacher_ckpt_path": teacher,
        "output_dir": out,
        **values,
    }
    main([*tiny.flags(**places), *SMALL, *SHORT])
    lines = (out / "log.txt").read_text().splitlines()
    return [int(line.partition("): ")[2].split()[0]) for line in lines if " rows, batch " in line]


def test_phase_2_reads_the_original_rows_where_asked(sst2, augmented, teacher, tmp_path):
    flags = {"augmented_data_dir": augmented, "phase2_augmented": "false"}
    assert phases(sst2, tmp_path / "out", teacher, **flags) == [64, 40]


def test_both_phases_read_augmented_rows_by_default(augmented, teacher, tmp_path):
    # The original records are not needed then; phase 1 is left out to save its graph.
    flags = {"augmented_data_dir": augmented, "td_phase1_epoch_size": 0}
    assert phases("", tmp_path / "out", teacher, **flags) == [64]


@pytest.mark.parametrize(
    "task, flags, expected",
    [("STS-B", [], False), ("STS-B", ["--phase2_augmented", "true"], True), ("SST-2", [], True)],
)
def test_only_sts_b_goes_back_to_the_original_rows(task, flags, expected):
    assert resolve(["--task_name", task, *flags])[1].config.phase2_augmented is expected


def test_augmented_records_of_another_task_are_refused(sst2, teacher, vocabulary, tmp_path):
    texts = {name: tiny.mnli_rows(4, 1) for name in ("train", "dev_matched", "dev_mismatched")}
    records = tiny.prepare_task(tmp_path, vocabulary, "MNLI", texts)
    with pytest.raises(UserError, match="labels"):
        phases(sst2, tmp_path / "out", teacher, augmented_data_dir=records)
    assert not (tmp_path / "out").exists()
