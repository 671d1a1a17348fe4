"""run_general_distill.py on tiny models: what it leaves and learns, Ctrl+C, and the task student after."""

import json
import os
import re
import shutil
import signal

import numpy as np
import pytest

from run_general_distill import main
from run_task_distill import main as task_distill
from src.config.bert_config import BertConfig
from src.errors import Interrupted, UserError
from src.tools.prepare_corpus import main as prepare_corpus
from src.train.logger import RunLogger
from src.weights.reader import read_weights
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
SIZES = {"num_hidden_layers": 1, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 32}
LOOP = {"epoch_size": 6, "batch_size": 8, "learning_rate": 3e-3, "logging_step": 1, "length_buckets": "off",
        "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}  # fmt: skip


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, vocabulary):
    return tiny.write_model(tmp_path_factory.mktemp("teacher") / "model", vocabulary)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, vocabulary):
    """Records of twelve documents of a few lines each."""
    folder, draw = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    lines = [" ".join(draw.choice(tiny.WORDS, draw.integers(3, 12))) for _ in range(36)]
    (folder / "text.txt").write_text("\n\n".join("\n".join(lines[i : i + 3]) for i in range(0, 36, 3)))
    flags = tiny.flags(input=folder / "text.txt", vocab_file=vocabulary, output_dir=folder / "records",
                       max_seq_length=16, num_shards=2, workers=1)  # fmt: skip
    prepare_corpus(flags)
    return folder / "records"


def arguments(teacher, corpus, out, **values):
    places = {"load_teacher_ckpt_path": teacher, "data_dir": corpus, "save_ckpt_path": out}
    return tiny.flags(**{**places, **SIZES, **LOOP, **values})


@pytest.fixture(scope="module")
def done(tmp_path_factory, teacher, corpus, graph_mode):
    """One whole run."""
    out = tmp_path_factory.mktemp("general") / "out"
    main(arguments(teacher, corpus, out, save_checkpoint_step=4))
    return out


def losses_of(out):
    return [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]


def test_the_folder_of_a_run(done, corpus, vocabulary):
    # Nothing is measured, so that nothing is the best.
    assert {path.name for path in done.iterdir()} == tiny.LEFT - {"best"}
    tiny.assert_overwritable(done)
    arrays, config = read_weights(done / "last").arrays, BertConfig.from_json(done / "last" / "config.json")
    assert (config.num_hidden_layers, config.hidden_size, config.labels) == (1, 24, ())
    assert (config.vocab_size, config.max_position_embeddings) == (100, 32)  # the teacher's
    assert arrays["hidden_projection.weight"].shape == (32, 24)
    assert not any(name.startswith("classifier.") for name in arrays)
    names = {path.name for path in (done / "last").iterdir()}
    assert names >= {"tokenizer.json", "vocab.txt"} and "metrics.json" not in names
    rows = json.loads((corpus / "manifest.json").read_text())["rows"]
    assert f"general distillation: {rows} rows, batch 8" in (done / "log.txt").read_text()


def test_the_student_comes_nearer_to_its_teacher(done):
    entries = losses_of(done)
    for part in ("embedding", "hidden", "attention"):
        values = [entry["parts"][part] for entry in entries]
        assert np.mean(values[-3:]) < np.mean(values[:3]), part
    assert entries[0]["loss"] == pytest.approx(sum(entries[0]["parts"].values()), rel=1e-5)


def test_ctrl_c_and_resuming_end_where_an_unbroken_run_ends(done, teacher, corpus, tmp_path, monkeypatch):
    log_step = RunLogger.log_step

    def log_and_interrupt(logger, **values):
        log_step(logger, **values)
        if values["step"] == 7:
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(RunLogger, "log_step", log_and_interrupt)
        with pytest.raises(Interrupted, match="at step 7 of general distillation, state saved"):
            main(arguments(teacher, corpus, out, save_checkpoint_step=4))
    main(arguments(teacher, corpus, out, save_checkpoint_step=4, resume="true"))
    theirs, ours = (read_weights(folder / "last").arrays for folder in (done, out))
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, atol=1e-6, err_msg=name)
    assert [entry["step"] for entry in losses_of(out)] == [entry["step"] for entry in losses_of(done)]


def test_a_resumed_run_keeps_what_the_first_has_measured(done, teacher, corpus, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    config = json.loads((out / "run_config.json").read_text())
    assert config["measured"] == {"teacher_precision": "fp32", "teacher_outputs_phase1": "float16"}
    config["values"]["output_dir"], config["measured"]["teacher_precision"] = str(out), "bf16"
    (out / "run_config.json").write_text(json.dumps(config))
    main(arguments(teacher, corpus, out, resume="true"))
    log = (out / "log.txt").read_text()
    assert re.search("matmul precision auto: (bf16 for the teacher, as before|fp32 .*, no longer bf16)", log)


def test_a_task_student_goes_on_with_the_projection(done, teacher, sst2, tmp_path):
    flags = tiny.flags(task_name="SST-2", load_teacher_ckpt_path=teacher, load_gd_ckpt_path=done / "last",
                       train_data_dir=sst2, eval_data_dir=sst2, output_dir=tmp_path / "out",
                       train_steps=0)  # fmt: skip
    task_distill(flags)
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "the hidden projection of the general student is loaded" in log
    general, student = (read_weights(folder / "last").arrays for folder in (done, tmp_path / "out"))
    for name, array in student.items():
        if name.startswith("bert."):
            np.testing.assert_array_equal(array, general[name], err_msg=name)


WRONG = {
    "no teacher": ({"load_teacher_ckpt_path": ""}, "--load_teacher_ckpt_path is required"),
    "no records": ({"data_dir": ""}, "no records: give --data_dir"),
    "heads": ({"num_attention_heads": 2}, "the student has 2 heads, the teacher 4"),
    "student positions": ({"max_position_embeddings": 8}, "are 16 long, the model has 8 positions"),
}


@pytest.mark.parametrize("changes, complaint", WRONG.values(), ids=WRONG)
def test_what_is_refused_leaves_nothing(teacher, corpus, tmp_path, changes, complaint):
    with pytest.raises(UserError, match=complaint):
        main(arguments(teacher, corpus, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()
