"""Invalid input: one sentence on stderr, exit code 2, no traceback, no new file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from run_finetune import main as finetune
from run_task_distill import main as distill
from src.errors import run_main
from src.tools.evaluate import main as evaluate
from src.tools.prepare import main as prepare
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
ROOT = Path(__file__).resolve().parents[1]
TEACHER = tiny.TINY.replace(num_hidden_layers=4)
QUERY = "bert.encoder.layer.1.attention.self.query.weight"
SIZES = {"num_hidden_layers": 2, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 40}


@pytest.fixture(scope="module")
def good(tmp_path_factory, vocabulary, sst2, graph_mode):
    """Valid inputs to start from: a teacher, a student, records, text."""
    folder = tmp_path_factory.mktemp("good")
    text = folder / "text"
    text.mkdir()
    for name, seed in (("train", 1), ("dev", 2)):
        (text / f"{name}.tsv").write_text(tiny.single_rows(8, seed))
    student = tiny.TINY.replace(hidden_size=24, intermediate_size=40, labels=())
    return {
        "teacher": tiny.write_model(folder / "teacher", vocabulary, TEACHER),
        "student": tiny.write_model(folder / "student", vocabulary, student),
        "records": sst2,
        "text": text,
        "vocabulary": vocabulary,
    }


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(main, flags, capsys):
    """The one-sentence error of a command line; nothing is written below the working folder."""
    before = files_below(Path.cwd())
    with pytest.raises(SystemExit) as stop:
        run_main(lambda: main(flags))
    errors = capsys.readouterr().err.strip()
    assert stop.value.code == 2 and errors.startswith("error: "), errors
    assert len(errors.splitlines()) == 1 and len(errors) < 600
    assert files_below(Path.cwd()) == before
    return errors


@pytest.mark.parametrize(
    "number, words",
    [
        (13, "permission denied for rows.tsv"),
        (30, "permission denied for rows.tsv"),
        (28, "no space left on the disk for rows.tsv"),
    ],
)
def test_system_errors_are_one_sentence(number, words, tmp_path, monkeypatch, capsys):
    def main(_):
        raise OSError(number, "the system's words", "rows.tsv")

    monkeypatch.chdir(tmp_path)
    assert f"{words} (the system's words)" in refused(main, [], capsys)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The test's own folder as the working folder, where default output folders would go too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def distill_flags(good, **changes):
    values = {
        "task_name": "SST-2",
        "load_teacher_ckpt_path": good["teacher"],
        "train_data_dir": good["records"],
        "eval_data_dir": good["records"],
        "output_dir": "out",
        **SIZES,
        **changes,
    }
    return tiny.flags(**{name: value for name, value in values.items() if value is not None})


def finetune_flags(good, **changes):
    values = {
        "task_name": "SST-2",
        "load_pretrained_path": good["teacher"],
        "train_data_dir": good["records"],
        "eval_data_dir": good["records"],
        "output_dir": "out",
        **changes,
    }
    return tiny.flags(**{name: value for name, value in values.items() if value is not None})


DISTILL = {
    "no teacher": ({"load_teacher_ckpt_path": None}, "--load_teacher_ckpt_path is required"),
    "teacher absent": ({"load_teacher_ckpt_path": "none"}, "none does not exist; give a model folder"),
    "student absent": ({"load_gd_ckpt_path": "none"}, "none does not exist; give a model folder"),
    "no records": ({"train_data_dir": None}, "no records: give --train_data_dir"),
    "records absent": ({"train_data_dir": "none"}, "record file none does not exist"),
    "no evaluation records": ({"eval_data_dir": None}, "no records: give --eval_data_dir"),
    "evaluation records absent": ({"eval_data_dir": "none"}, "record file none does not exist"),
    "schema absent": ({"schema_dir": "none"}, "none does not exist"),
    "misspelt task": ({"task_name": "SST-3"}, 'did you mean "SST-2"'),
    "no task": ({"task_name": None, "train_data_dir": ".", "eval_data_dir": "."}, "--task_name is required"),
    "misspelt flag": ({"load_techer_ckpt_path": "x"}, 'did you mean "--load_teacher_ckpt_path"'),
    "other form of records": ({"dataset_type": "mindrecord"}, "give --dataset_type tfrecord"),
    "heads": ({"num_attention_heads": 2}, "the student has 2 heads, the teacher 4"),
    "heads that do not divide": ({"num_attention_heads": 5}, "24 is not a multiple of num_attention_heads 5"),
    "more layers": ({"num_hidden_layers": 8}, "more than the teacher's 4"),
    "layer map": ({"layer_map": "1,9"}, "--layer_map 1,9 must rise and stay"),
    "two starts": ({"student_init": "teacher_layers", "load_gd_ckpt_path": "x"}, "are mutually exclusive"),
    "two starts after phase 1": (
        {"student_init": "teacher_layers", "load_td1_ckpt_path": "x"},
        "--load_td1_ckpt_path and --student_init teacher_layers are mutually exclusive",
    ),
    "several devices, one process": ({"device_num": 2}, "--device_num 2 without --distribute: start the run"),
    "target of classes": (
        {"regression_target": "label"},
        "is for scores, and SST-2 is a classification task",
    ),
    "widths": ({"student_init": "teacher_layers"}, "needs the teacher's hidden_size"),
    "nothing to train on": ({"embedding_weight": 0, "hidden_weight": 0, "attention_weight": 0}, "are all 0"),
    "nothing to do": ({"do_train": "false", "do_eval": "false"}, "nothing to do"),
    "nothing to evaluate": ({"do_train": "false"}, "--load_td1_ckpt_path is required"),
    "nothing to resume": ({"resume": "true"}, "out holds no run to resume"),
    "too long for seq_length": ({"seq_length": 8}, "longer than seq_length 8"),
    "no such device": ({"device_target": "Ascend"}, "finds no such device here"),
    "neither true nor false": ({"do_shuffle": "maybe"}, "neither true nor false"),
    "batch size": ({"batch_size": 0}, "batch_size"),
    "evaluation batch size": ({"eval_batch_size": 0}, "batch_size"),
    "temperature": ({"temperature": 0}, "temperature"),
    "logging_step": ({"logging_step": 0}, "logging_step"),
    "save_ckpt_step": ({"save_ckpt_step": 0}, "save_ckpt_step"),
    "scale_factor": ({"scale_factor": 0}, "scale_factor"),
    "epochs": ({"td_phase1_epoch_size": -1}, "td_phase1_epoch_size"),
    "dropout": ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob"),
    "student positions": (
        {"max_position_embeddings": 8, "do_eval": "false"},
        "the records are 16 long, the model has 8 positions",
    ),
}


@pytest.mark.parametrize("changes, complaint", DISTILL.values(), ids=DISTILL)
def test_task_distillation(here, good, capsys, changes, complaint):
    assert complaint in refused(distill, distill_flags(good, **changes), capsys)


FINETUNE = {
    "no start": ({"load_pretrained_path": None}, "--load_pretrained_path is required"),
    "two starts": ({"init": "fresh"}, "mutually exclusive"),
    "model absent": ({"load_pretrained_path": "none"}, "none does not exist; give a model folder"),
    "a folder without weights": ({"load_pretrained_path": "."}, ". contains no weights"),
    "records absent": ({"train_data_dir": "none"}, "none does not exist"),
    "misspelt task": ({"task_name": "colla"}, 'did you mean "CoLA"'),
    "labels of another task": ({"task_name": "STS-B"}, "holds class indices, but STS-B is a regression task"),
    "another task's names": (
        {"task_name": "RTE"},
        "was prepared for SST-2 with the labels 0, 1, not for RTE",
    ),
    "learning rate": ({"learning_rate": "fast"}, "'fast' is not a number"),
    "batch size": ({"batch_size": -3}, "batch_size"),
    "dropout": ({"attention_probs_dropout_prob": 1.0}, "attention_probs_dropout_prob"),
    "two tokenizers": ({"vocab_dir": "."}, "--vocab_dir is for --init fresh: a given model has its own"),
    "no tokenizer": ({"init": "fresh", "load_pretrained_path": None, "vocab_dir": "."}, "no tokenizer files"),
}


@pytest.mark.parametrize("changes, complaint", FINETUNE.values(), ids=FINETUNE)
def test_fine_tuning(here, good, capsys, changes, complaint):
    assert complaint in refused(finetune, finetune_flags(good, **changes), capsys)


def changed_weights(folder, source, change):
    """A copy of a model folder whose arrays are modified by `change`."""
    config = json.loads((source / "config.json").read_text())
    arrays = load_file(str(source / "model.safetensors"))
    change(arrays)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(arrays, str(folder / "model.safetensors"))
    return folder


def rename_query(arrays):
    arrays[QUERY.replace("query", "qury")] = arrays.pop(QUERY)


def test_a_renamed_weight(here, good, capsys):
    model = changed_weights(here / "model", good["teacher"], rename_query)
    for main, flags in (
        (distill, distill_flags(good, load_teacher_ckpt_path=model)),
        (finetune, finetune_flags(good, load_pretrained_path=model)),
        (evaluate, tiny.flags(model_dir=model, task_name="SST-2", eval_data_dir=good["records"])),
    ):
        message = refused(main, flags, capsys)
        assert f'did you mean "{QUERY}"' in message and str(model) in message


def test_a_weight_of_another_shape(here, good, capsys):
    model = changed_weights(
        here / "model", good["teacher"], lambda arrays: arrays.update({QUERY: np.zeros((32, 8), np.float32)})
    )
    message = refused(finetune, finetune_flags(good, load_pretrained_path=model), capsys)
    assert f"{QUERY} (32, 8) instead of (32, 32)" in message


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:5],
        lambda data: b"",
        lambda data: b"\x00" * 100,
        lambda data: b"not a model",
    ],
)
def test_a_corrupt_weight_file(here, good, capsys, damage):
    model = changed_weights(here / "model", good["teacher"], lambda arrays: None)
    file = model / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    message = refused(distill, distill_flags(good, load_teacher_ckpt_path=model), capsys)
    assert "model.safetensors" in message and "truncated or damaged" in message


def test_a_model_without_config(here, good, capsys):
    model = changed_weights(here / "model", good["teacher"], lambda arrays: None)
    (model / "config.json").unlink()
    message = refused(finetune, finetune_flags(good, load_pretrained_path=model), capsys)
    assert "has no config.json next to it" in message


def test_a_config_of_another_family(here, good, capsys):
    model = changed_weights(here / "model", good["teacher"], lambda arrays: None)
    (model / "config.json").write_text('{"model_type": "gpt2"}')
    message = refused(finetune, finetune_flags(good, load_pretrained_path=model), capsys)
    assert 'model_type is "gpt2"; supported are bert, distilbert, roberta' in message


def test_a_teacher_without_head(here, good, capsys):
    message = refused(distill, distill_flags(good, load_teacher_ckpt_path=good["student"]), capsys)
    assert "has no head for SST-2" in message and "run_finetune.py" in message


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_truncated_record_file(here, good, capsys, split):
    records = here / "records"
    records.mkdir()
    for file in good["records"].iterdir():
        (records / file.name).write_bytes(file.read_bytes())
    data = (records / f"{split}.tfrecord").read_bytes()
    (records / f"{split}.tfrecord").write_bytes(data[: len(data) - 30])
    flags = distill_flags(good, train_data_dir=records, eval_data_dir=records)
    assert f"{split}.tfrecord differs from its digest in manifest.json" in refused(distill, flags, capsys)
    (records / "manifest.json").unlink()
    assert f"{split}.tfrecord is truncated or damaged at row" in refused(distill, flags, capsys)


def prepared(folder, vocabulary, *flags):
    return tiny.prepare_task(
        folder, vocabulary, "SST-2", {"train": tiny.single_rows(6, 1), "dev": tiny.single_rows(6, 2)}, *flags
    )


def test_records_longer_than_the_model_s_positions(here, good, capsys):
    records = prepared(here / "long", good["vocabulary"], "--max_seq_length", 40)
    capsys.readouterr()
    expected = "the records are 40 long, the model has 32 positions; prepare them with a smaller"
    assert expected in refused(finetune, finetune_flags(good, train_data_dir=records), capsys)
    assert expected in refused(finetune, finetune_flags(good, eval_data_dir=records), capsys)
    assert expected in refused(distill, distill_flags(good, train_data_dir=records), capsys)
    flags = tiny.flags(model_dir=good["teacher"], task_name="SST-2", eval_data_dir=records)
    assert expected in refused(evaluate, flags, capsys)


def test_records_of_another_tokenizer(here, good, capsys):
    pieces = [*tiny.SPECIAL, *reversed(tiny.WORDS)]
    records = prepared(here / "other", tiny.write_vocabulary(here / "v", pieces))
    capsys.readouterr()
    expected = "were made with another tokenizer than that of"
    assert expected in refused(finetune, finetune_flags(good, train_data_dir=records), capsys)
    assert expected in refused(finetune, finetune_flags(good, eval_data_dir=records), capsys)
    fresh = {"init": "fresh", "load_pretrained_path": None, "vocab_dir": here / "v"}
    assert expected in refused(finetune, finetune_flags(good, **fresh, eval_data_dir=records), capsys)
    assert expected in refused(distill, distill_flags(good, train_data_dir=records), capsys)
    assert expected in refused(distill, distill_flags(good, eval_data_dir=records), capsys)
    flags = tiny.flags(model_dir=good["teacher"], task_name="SST-2", eval_data_dir=records)
    assert expected in refused(evaluate, flags, capsys)


def test_a_student_of_another_tokenizer(here, good, capsys):
    vocabulary = tiny.write_vocabulary(here / "v", [*tiny.SPECIAL, *reversed(tiny.WORDS)])
    config = tiny.TINY.replace(hidden_size=24, intermediate_size=40, labels=())
    student = tiny.write_model(here / "student", vocabulary, config)
    flags = distill_flags(good, load_gd_ckpt_path=student)
    assert "were made with another tokenizer than that of" in refused(distill, flags, capsys)


def test_records_of_a_larger_vocabulary(here, good, capsys):
    """Detected by the ids if there is no manifest."""
    small = tiny.write_model(here / "small", None, tiny.TINY.replace(vocab_size=50))
    message = refused(finetune, finetune_flags(good, load_pretrained_path=small), capsys)
    assert "is beyond the model's vocabulary of 50" in message
    single = tiny.write_model(here / "single", None, tiny.TINY.replace(type_vocab_size=1))
    texts = {"train": tiny.score_rows(9, 1), "dev": tiny.score_rows(9, 2)}
    pairs = tiny.prepare_task(here / "pairs", good["vocabulary"], "STS-B", texts)
    values = {"load_pretrained_path": single, "train_data_dir": pairs, "task_name": "STS-B"}
    message = refused(finetune, finetune_flags(good, **values), capsys)
    assert "segment id 1, of pairs of texts, is beyond the model's 1 token types" in message


PREPARE = {
    "header": ({"train": "text\tlabel\nbade\t1\n"}, "train.tsv"),
    "label": ({"train": "sentence\tlabel\nbade\tgood\n"}, 'train.tsv, line 2: label "good" is unknown'),
    "vocabulary": (
        {"train": "sentence\tlabel\n" + "quite other words\t1\n" * 9},
        "are [UNK] with the vocabulary",
    ),
    "row": ({"dev": "sentence\tlabel\nbade\n"}, "dev.tsv, line 2"),
}


@pytest.mark.parametrize("texts, complaint", PREPARE.values(), ids=PREPARE)
def test_prepare(here, good, capsys, texts, complaint):
    data = here / "data"
    data.mkdir()
    for name in ("train", "dev"):
        (data / f"{name}.tsv").write_text(texts.get(name, tiny.single_rows(4, 1)))
    (here / "out").mkdir()
    flags = tiny.flags(task_name="SST-2", data_dir=data, vocab_file=good["vocabulary"], output_dir="out")
    assert complaint in refused(prepare, flags, capsys)


def test_an_output_folder_that_is_not_empty(here, good, capsys):
    out = here / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for main, flags in ((finetune, finetune_flags(good)), (distill, distill_flags(good))):
        assert "output_dir out is not empty; give another folder" in refused(main, flags, capsys)
    # A run that fails for another reason deletes nothing, even with --overwrite_output_dir.
    for changes in (
        {"train_data_dir": "none"},
        {"load_teacher_ckpt_path": "none"},
        {"num_hidden_layers": 3},
        {"num_attention_heads": 2},
        {"eval_data_dir": "none"},
        {"temperature": 0},
    ):
        refused(distill, distill_flags(good, overwrite_output_dir="true", **changes), capsys)
    assert (out / "thesis.txt").read_text() == "mine"


def test_an_output_folder_that_holds_the_input(here, good, capsys):
    records = prepared(here / "data", good["vocabulary"])
    capsys.readouterr()
    among = f"{good['records']}, {records}"
    for name, given in ("train_data_dir", records), ("train_data_dir", among), ("schema_dir", records):
        flags = finetune_flags(good, **{name: given}, output_dir=here / "data", overwrite_output_dir="true")
        assert "which this run reads; give another folder" in refused(finetune, flags, capsys)
        assert (records / "train.tfrecord").is_file()


def test_an_output_folder_that_is_a_file(here, good, capsys):
    (here / "out").write_text("x")
    assert "output_dir out is a file; give a folder" in refused(finetune, finetune_flags(good), capsys)


@pytest.mark.parametrize(
    "command",
    [
        "run_finetune.py --task_name SST-3",
        "run_task_distill.py --task_name SST-2 --do_trian false",
        "-m src.tools.evaluate --task_name SST-2 --model_dir none --eval_data_dir none",
    ],
)
def test_the_programs_themselves(here, command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = [str(ROOT / part) if part.startswith("run_") else part for part in command.split()]
    done = subprocess.run(
        [sys.executable, *script], cwd=here, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr and done.stdout == "" and not list(here.iterdir())
