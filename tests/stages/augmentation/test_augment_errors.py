"""`python -m src.tools.augment` on wrong input: a sentence, and nothing written."""

import os

import pytest

from src.errors import UserError
from src.model.state_dict import weight_arrays
from src.tools.augment import main
from src.weights.huggingface import write_directory
from tests import tiny
from tests.augment_task import CONFIG, PIECES, rows_of, run, sst2, write_text

pytestmark = pytest.mark.usefixtures("graph_mode")


def without_mask(mlm, folder):
    return tiny.write_vocabulary(folder, [piece for piece in PIECES if piece != "[MASK]"])


BAD = {
    "no source": ({}, "no source of candidates"),
    "filter": ({"filter_with_teacher": 0.9, "glove_file": "g"}, "needs --load_teacher_ckpt_path"),
    "suffix": ({"glove_file": "g", "output_file": "x.csv"}, "its name must end with .tsv"),
    "input": ({"glove_file": "g", "output_file": "DATA/train.tsv"}, "is the input"),
    "exists": ({"glove_file": "g", "output_file": "DATA/old.tsv"}, "old.tsv exists"),
    "folder": ({"glove_file": "g", "output_file": "DATA/sub.tsv"}, "is a folder"),
    "no place": (
        {"glove_file": "g", "output_file": "DATA/train.tsv/x/y.tsv"},
        "train.tsv is not a writable folder",
    ),
    "glove": ({"glove_file": "absent.txt"}, "absent.txt does not exist"),
    "model": ({"mlm_model": "absent"}, "absent does not exist"),
    "probability": ({"glove_file": "g", "probability": 1.5}, "between 0 and 1"),
    "copies": ({"glove_file": "g", "copies": 0}, "above 0"),
    "length": ({"glove_file": "g", "max_seq_length": 4}, "too short"),
    "context": (
        {"glove_file": "g", "mlm_context": "pair"},
        "--mlm_context has no effect without an --mlm_model that has a masked language modeling head",
    ),
    "batch": (
        {"glove_file": "g", "batch_size": 8},
        "--batch_size has no effect .*, or --filter_with_teacher",
    ),
    "teacher": (
        {"glove_file": "g", "load_teacher_ckpt_path": "t"},
        "--load_teacher_ckpt_path has no effect without --filter_with_teacher",
    ),
    "no data": ({"glove_file": "g", "data_dir": "nowhere"}, "nowhere does not exist"),
}


@pytest.mark.parametrize("values, complaint", BAD.values(), ids=BAD)
def test_wrong_input_is_reported_and_nothing_written(tmp_path, values, complaint):
    data = sst2(tmp_path / "data")
    (data / "old.tsv").write_text("kept")
    (data / "sub.tsv").mkdir()
    (data / "glove.txt").write_text("film 1 2\nshow 2 1\n")
    values = {name: str(value).replace("DATA", str(data)) for name, value in values.items()}
    if values.get("glove_file") == "g":
        values["glove_file"] = str(data / "glove.txt")
    with pytest.raises(UserError, match=complaint):
        main(tiny.flags(**{"task_name": "SST-2", "data_dir": data, **values}))
    assert sorted(os.listdir(data)) == ["glove.txt", "old.tsv", "sub.tsv", "train.tsv"]


def test_a_read_only_data_folder(tmp_path, headless, monkeypatch):
    monkeypatch.setattr(os, "access", lambda folder, mode: folder != tmp_path)
    with pytest.raises(
        UserError, match=f"train_aug.tsv cannot be written: {tmp_path} is not a writable folder"
    ):
        run(sst2(tmp_path), load_teacher_ckpt_path=headless)


def test_a_broken_glove_file_leaves_nothing(tmp_path):
    data = sst2(tmp_path)
    (tmp_path / "glove.txt").write_text("film 1 2\nshow 2\n")
    with pytest.raises(UserError, match="glove.txt, line 2: 1 numbers after the word instead of 2"):
        run(data, glove_file=tmp_path / "glove.txt")
    assert sorted(os.listdir(data)) == ["glove.txt", "train.tsv"]


def test_a_malformed_row_is_reported_first(tmp_path, mlm):
    data = write_text(tmp_path, ["sentence\tlabel", "bade\t1", "kina\t7"])
    with pytest.raises(UserError, match=r"train.tsv, line 3: label \"7\" is unknown"):
        run(data, mlm_model=mlm)
    assert os.listdir(data) == ["train.tsv"]


def test_scores_cannot_be_filtered(tmp_path, headless):
    data = write_text(tmp_path, ["index\tsentence1\tsentence2\tscore", "0\tbade\tkina\t2.5"])
    with pytest.raises(UserError, match="STS-B has scores"):
        run(data, task="STS-B", load_teacher_ckpt_path=headless, filter_with_teacher=0.5)
    made = run(data, task="STS-B", load_teacher_ckpt_path=headless)
    assert {row[3] for row in rows_of(made)[1:]} == {"2.5"} and len(rows_of(made)) > 10


def test_a_vocabulary_without_mask_is_rejected(tmp_path, mlm):
    vocabulary = without_mask(mlm, tmp_path / "vocabulary")
    config = {**CONFIG.to_json_dict(), "architectures": ["BertForMaskedLM"]}
    write_directory(tmp_path / "model", weight_arrays(tiny.random_masked_lm(CONFIG)), config, vocabulary)
    with pytest.raises(UserError, match=r"has no \[MASK\]"):
        run(sst2(tmp_path / "data"), mlm_model=tmp_path / "model")


def test_a_vocabulary_larger_than_the_model_is_rejected(tmp_path, headless):
    larger = tiny.write_vocabulary(tmp_path / "vocabulary", [*PIECES, "more"])
    config = CONFIG.replace(labels=("0", "1"))
    model = tiny.write_model(tmp_path / "model", larger, config, tiny.random_arrays(config))
    with pytest.raises(UserError, match=f"has the id {len(PIECES)}, the model next to it {len(PIECES)} word"):
        run(sst2(tmp_path / "data"), load_teacher_ckpt_path=model)
