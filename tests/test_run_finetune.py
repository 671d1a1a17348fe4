"""run_finetune.py on tiny models: the folders and log lines it leaves, Ctrl+C and resuming, regression."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from run_finetune import main
from src.config.bert_config import BertConfig
from src.data.records.io import read_records, write_records
from src.digests import SUMS_FILE
from src.errors import UserError
from src.tools.evaluate import main as evaluate
from src.weights.reader import read_weights
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
# The kernels' masks are a function of seed and step; the framework's own, without a compiler, are not.
DROPOUT = 0.1 if shutil.which("g++") else 0.0
ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--length_buckets", "off", "--batch_size", "8", "--learning_rate", "2e-3", "--logging_step", "2"]


def arguments(records, out, model=None, *more, task="SST-2", **values):
    start = {"load_pretrained_path": model} if model else {"init": "fresh"}
    places = {"task_name": task, "train_data_dir": records, "eval_data_dir": records, "output_dir": out}
    return [*tiny.flags(**{**places, **start}), *FLAGS, *map(str, more), *tiny.flags(**values)]


def log_of(out):
    return (out / "log.txt").read_text()


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def weights_of(folder):
    return read_weights(folder).arrays


@pytest.fixture(scope="module")
def model(tmp_path_factory, vocabulary):
    """A pretrained body without head, and a pre-training head that is ignored."""
    arrays = {
        name: a for name, a in tiny.random_arrays(tiny.TINY, spread=0.1).items() if name.startswith("bert.")
    }
    arrays["cls.predictions.bias"] = np.zeros(100, np.float32)
    config = tiny.TINY.replace(labels=(), hidden_dropout_prob=0.3)
    return tiny.write_model(tmp_path_factory.mktemp("pretrained") / "model", vocabulary, config, arrays)


WHOLE = {"epoch_size": 16, "hidden_dropout_prob": DROPOUT}


@pytest.fixture(scope="module")
def done(tmp_path_factory, model, sst2, graph_mode):
    """One whole run."""
    out = tmp_path_factory.mktemp("finetune") / "out"
    main(arguments(sst2, out, model, **WHOLE))
    return out


def test_the_folder_of_a_run(done):
    assert set(os.listdir(done)) == tiny.LEFT
    tiny.assert_overwritable(done)
    files = {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    for name in ("best", "last"):
        assert files | {"metrics.json", SUMS_FILE} == set(os.listdir(done / name)), name
    config = BertConfig.from_json(done / "best" / "config.json")
    assert config.labels == ("0", "1") and config.hidden_dropout_prob == DROPOUT
    assert [path.name for path in (done / "checkpoints").iterdir()] == ["phase1_step_80.safetensors"]
    saved = json.loads((done / "run_config.json").read_text())
    assert saved["values"]["epoch_size"] == 16 and saved["origins"]["epoch_size"] == "command line"
    assert saved["origins"]["warmup_ratio"] == "default"


def test_the_lines_of_the_log(done):
    log = log_of(done)
    number = r"\d+(?:\.\d+)?(?:e[+-]\d+)?"
    line = rf"^epoch: (\d+), step: (\d+), outputs are \({number}, False, (?:65536|131072)\), "
    found = re.findall(line, log, re.M)
    assert [tuple(map(int, pair)) for pair in found] == [(1 + (s - 1) // 5, s) for s in range(2, 81, 2)]
    assert len(re.findall(r"^epoch time: [\d.]+ ms, per step time: [\d.]+ ms$", log, re.M)) == 16
    assert len(re.findall(r"^The best acc is [01]\.\d+$", log, re.M)) == 16
    assert "the head is newly initialized" in log
    assert "ignored cls.predictions.bias" in log
    assert re.search(r"finetune SST-2 on CPU, compute_type float32", log)
    assert re.search(r"learning_rate +0\.002 +\(command line\)", log)


def test_it_learns_and_keeps_the_best(done):
    epochs = [json.loads(line) for line in log_of(done).splitlines() if line.startswith("{")]
    assert [entry["epoch"] for entry in epochs] == list(range(1, 17))
    assert all(entry["eval_samples"] == 13 for entry in epochs)
    best = metrics_of(done / "best")
    assert best["eval_accuracy"] == max(entry["eval_accuracy"] for entry in epochs) >= 0.9
    # The first of equals: only a strictly better one replaces it.
    assert best["step"] == next(e["step"] for e in epochs if e["eval_accuracy"] == best["eval_accuracy"])
    losses = [json.loads(line) for line in (done / "losses.jsonl").read_text().splitlines()]
    assert losses[-1]["loss"] < losses[0]["loss"]


def test_evaluate_says_the_same(done, sst2, tmp_path, capsys):
    flags = {"model_dir": done / "best", "task_name": "SST-2", "eval_data_dir": sst2, "output_dir": tmp_path}
    evaluate(tiny.flags(**flags))
    line = capsys.readouterr().out.strip()
    best = metrics_of(done / "best")
    assert json.loads(line) == {name: best[name] for name in ("eval_accuracy", "eval_samples")}
    assert json.loads((tmp_path / "eval_results.json").read_text()) == json.loads(line)


@pytest.mark.reference
def test_transformers_opens_the_result(done):
    transformers = pytest.importorskip("transformers")
    model = transformers.BertForSequenceClassification.from_pretrained(done / "best")
    tokenizer = transformers.AutoTokenizer.from_pretrained(done / "best")
    assert model.config.id2label == {0: "0", 1: "1"}
    for label, word in tiny.MARKS.items():
        logits = model(**tokenizer(f"{tiny.WORDS[50]} {word} {tiny.WORDS[60]}", return_tensors="pt")).logits
        assert model.config.id2label[int(logits.argmax())] == label


def test_a_second_run_does_not_overwrite(done, model, sst2):
    before = sorted(os.listdir(done))
    with pytest.raises(UserError, match="is not empty; give another folder, or --overwrite_output_dir"):
        main(arguments(sst2, done, model))
    assert sorted(os.listdir(done)) == before


def test_a_folder_that_a_run_is_writing_to(model, sst2, tmp_path):
    code = f"from src.train.logger import RunLogger; j = RunLogger(); j.open({str(tmp_path)!r})"
    command = [sys.executable, "-u", "-c", f"{code}; print(); input()"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    for wish in ("--resume", "--overwrite_output_dir"):
        with pytest.raises(UserError, match=f"a run is writing to {tmp_path} now; stop it, or give another"):
            main(arguments(sst2, tmp_path, model, wish))
    process.communicate(b"\n")
    with pytest.raises(UserError, match="holds no run to resume"):
        main(arguments(sst2, tmp_path, model, "--resume"))


def test_fresh_weights_and_max_rows(tmp_path, sst2):
    sizes = {
        "student_preset": "3L-312",
        "num_hidden_layers": 1,
        "hidden_size": 24,
        "num_attention_heads": 2,
        "intermediate_size": 40,
        "max_position_embeddings": 20,
    }
    out = tmp_path / "fresh"
    main(arguments(sst2, out, None, epoch_size=1, max_rows=20, **sizes))
    config = BertConfig.from_json(out / "last" / "config.json")
    assert (config.num_hidden_layers, config.hidden_size, config.vocab_size) == (1, 24, 100)
    assert config.max_position_embeddings == 20
    log = log_of(out)
    assert "1L-24, initialized randomly" in log and "20 rows" in log and "3 steps an epoch, 3 in all" in log
    assert (out / "last" / "vocab.txt").is_file()


def test_the_same_seed_gives_the_same_weights(done, tmp_path, model, sst2):
    """Also with a new head, dropout and shuffled rows, and not in the same place of one process."""
    main(arguments(sst2, tmp_path / "again", model, **WHOLE))
    once, again = weights_of(done / "last"), weights_of(tmp_path / "again" / "last")
    for name, array in once.items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)


def test_regression(tmp_path, vocabulary, model):
    texts = {"train": tiny.score_rows(32, 1), "dev": tiny.score_rows(11, 2)}
    records = tiny.prepare_task(tmp_path, vocabulary, "STS-B", texts)
    out = tmp_path / "out"
    main(arguments(records, out, model, epoch_size=2, task="stsb"))
    metrics = metrics_of(out / "last")
    assert {"eval_pearson", "eval_spearmanr", "eval_corr"} <= set(metrics) and metrics["eval_samples"] == 11
    assert BertConfig.from_json(out / "last" / "config.json").output_mode == "regression"
    assert weights_of(out / "last")["classifier.weight"].shape == (1, 32)
    assert re.search(r"^The best pearson is -?[01]\.\d+$", log_of(out), re.M)


def test_mindrecord_and_a_comma_list_of_files(tmp_path, vocabulary, model):
    texts = {"train": tiny.single_rows(16, 1), "dev": tiny.single_rows(5, 2)}
    records = tiny.prepare_task(tmp_path, vocabulary, "SST-2", texts, "--dataset_type", "mindrecord")
    train, dev = records / "train.mindrecord", records / "dev.mindrecord"
    out = tmp_path / "out"
    main(
        [
            *arguments(dev, out, model, epoch_size=1, dataset_type="mindrecord"),
            f"--train_data_dir={train},{dev}",
        ]
    )
    assert "21 rows" in log_of(out)
    assert metrics_of(out / "last")["eval_samples"] == 5


def start(command):
    # The child must be able to be interrupted even where the tests themselves run in the background.
    return subprocess.Popen(
        [sys.executable, "run_finetune.py", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def interrupt_after(process, log, text, seconds=120):
    """Send SIGINT when `text` is in the log."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if log.exists() and text in log.read_text():
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    return process.communicate(timeout=seconds)


def test_ctrl_c_and_resuming_end_where_an_unbroken_run_ends(tmp_path, model, sst2):
    values = {
        "epoch_size": 20,
        "logging_step": 1,
        "hidden_dropout_prob": DROPOUT,
        "attention_probs_dropout_prob": DROPOUT,
    }
    broken = arguments(sst2, tmp_path / "broken", model, **values)
    process = start(broken)
    output, errors = interrupt_after(process, tmp_path / "broken" / "log.txt", "epoch: 2, step: 7,")
    # Without a terminal 143 is possible: while a graph runs MindSpore turns SIGINT into SIGTERM.
    assert process.returncode in (130, 143), errors
    assert "Traceback" not in errors and "resume with:\n  python run_finetune.py" in errors
    resume = errors.split("resume with:\n")[1].split("\n")[0].split()
    assert resume[1] == "run_finetune.py" and resume[-1] == "--resume"
    step = int(re.search(r"interrupted at step (\d+) of finetune", errors)[1])
    assert 7 <= step < 100
    main(resume[2:])
    assert f"(step {step})" in log_of(tmp_path / "broken")
    main(arguments(sst2, tmp_path / "whole", model, **values))
    whole, resumed = (weights_of(tmp_path / name / "last") for name in ("whole", "broken"))
    for name, array in whole.items():
        np.testing.assert_allclose(resumed[name], array, atol=1e-6, err_msg=name)
    assert metrics_of(tmp_path / "broken" / "best") == metrics_of(tmp_path / "whole" / "best")
    with pytest.raises(UserError, match="--resume: batch_size was 8 in the interrupted run and is 16 now"):
        main([*broken, "--resume", "--batch_size", "16"])


def test_resuming_what_is_finished_and_what_has_no_checkpoint_yet(done, model, sst2, tmp_path):
    out, changed = tmp_path / "out", tmp_path / "records"
    shutil.copytree(done, out)
    shutil.copytree(sst2, changed)
    table = read_records(changed / "train.tfrecord")
    table.labels[0] = 1 - table.labels[0]
    write_records(changed / "train.tfrecord", table, "tfrecord")
    (changed / "manifest.json").unlink()

    def resume(records):
        config = json.loads((done / "run_config.json").read_text())
        config["values"].update(output_dir=str(out), train_data_dir=str(records))
        (out / "run_config.json").write_text(json.dumps(config))
        main(arguments(sst2, out, model, "--resume", "--train_data_dir", records, **WHOLE))

    resume(sst2)
    assert metrics_of(out / "last") == metrics_of(done / "last")
    with pytest.raises(UserError, match="is from a run over other training rows: the records have changed"):
        resume(changed)
    shutil.rmtree(out / "checkpoints")
    resume(sst2)
    assert "holds no checkpoint yet, starting over" in log_of(out)
    steps = [[json.loads(line)["step"] for line in (folder / "losses.jsonl").read_text().splitlines()]
             for folder in (out, done)]  # fmt: skip
    assert steps[0] == steps[1]


def test_the_command_that_resumes_drops_what_resuming_forbids(monkeypatch):
    from src.stages.training.run import resume_command

    monkeypatch.setattr(
        "sys.argv",
        [
            "run_finetune.py",
            "--overwrite_output_dir",
            "true",
            "--task_name",
            "SST-2",
            "--resume=false",
            "--output_dir",
            "a b",
        ],
    )
    assert resume_command() == "python run_finetune.py --task_name SST-2 --output_dir 'a b' --resume"
