"""run_q8bert_train.py on tiny models: taught or not, calibration alone, float, regression, resuming."""

import ast
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from run_finetune import main as finetune
from run_q8bert_train import main
from run_task_distill import main as distill
from src.config.bert_config import BertConfig
from src.config.q8bert_config import resolve
from src.config.quantization import Quantization
from src.errors import Interrupted
from src.stages.training import q8bert
from src.tools.evaluate import main as evaluate
from src.weights.huggingface import weight_count
from src.weights.reader import read_weights
from tests import tiny
from tests.test_bad_input import here, refused  # noqa: F401  (here is a fixture)

pytestmark = pytest.mark.usefixtures("graph_mode")
# Compiling takes longer than anything else here, so what is trained is as shallow as can be.
SHALLOW = tiny.TINY.replace(num_hidden_layers=1)
FLAGS = "--length_buckets off --train_batch_size 8 --learning_rate 2e-3 --logging_step 2".split()
ROOT = Path(__file__).resolve().parents[1]
LAUNCHER = ROOT / "scripts" / "run_q8bert_train.sh"
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?"


def arguments(records, out, model, *more, task="SST-2", **values):
    places = {"task_name": task, "load_ckpt_path": model, "train_data_dir": records, "output_dir": out}
    return [*tiny.flags(**places, eval_data_dir=records), *FLAGS, *map(str, more), *tiny.flags(**values)]


def log_of(out):
    return (out / "log.txt").read_text()


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def weights_of(folder):
    return read_weights(folder).arrays


def ranges_of(folder):
    return {name: array for name, array in weights_of(folder).items() if name.endswith("input_threshold")}


@pytest.fixture(scope="module")
def start(tmp_path_factory, vocabulary):
    """A model that knows nothing of the task."""
    arrays = tiny.random_arrays(SHALLOW, spread=0.1)
    return tiny.write_model(tmp_path_factory.mktemp("start") / "model", vocabulary, SHALLOW, arrays)


@pytest.fixture(scope="module")
def in_float(tmp_path_factory, start, sst2, graph_mode):
    """The run that trains it in float."""
    out = tmp_path_factory.mktemp("float") / "out"
    main(arguments(sst2, out, start, do_quant="false", epoch_num=12, eval_ckpt_step=1000))
    return out


@pytest.fixture(scope="module")
def float_model(in_float):
    return in_float / "best"


QUANTIZED = {"epoch_num": 3, "eval_ckpt_step": 2, "is_lgt_fit": "true", "calibration_steps": 2}


@pytest.fixture(scope="module")
def done(tmp_path_factory, float_model, sst2):
    """A whole run: quantization-aware training, taught by the model in float."""
    out = tmp_path_factory.mktemp("quantized") / "out"
    main(arguments(sst2, out, float_model, load_teacher_ckpt_path=float_model, **QUANTIZED))
    return out


def test_in_float_it_is_fine_tuning(in_float, start, sst2, tmp_path):
    """The same weights as run_finetune.py's, number for number, and a folder without bits."""
    flags = {
        "task_name": "SST-2",
        "load_pretrained_path": start,
        "train_data_dir": sst2,
        "eval_data_dir": sst2,
        "output_dir": tmp_path / "out",
        "epoch_size": 12,
    }
    finetune([*tiny.flags(**flags), *FLAGS[:2], "--batch_size", "8", *FLAGS[4:]])
    tiny.assert_same_weights(weights_of(in_float / "last"), weights_of(tmp_path / "out" / "last"))
    assert metrics_of(in_float / "best") == metrics_of(tmp_path / "out" / "best")
    assert "quantization" not in json.loads((in_float / "best" / "config.json").read_text())
    assert "training in float: 40 rows" in log_of(in_float)


def test_the_folder_of_a_run(done):
    assert set(os.listdir(done)) == tiny.LEFT
    tiny.assert_overwritable(done)
    for name in ("best", "last"):
        config = BertConfig.from_json(done / name / "config.json")
        assert config.quantization == Quantization() and config.labels == ("0", "1")
        files = {"model.safetensors", "vocab.txt", "tokenizer.json", "metrics.json"}
        assert files <= set(os.listdir(done / name))
        ranges = ranges_of(done / name)
        assert len(ranges) == 8 and all(array > 0 for array in ranges.values())


def test_the_lines_that_the_model_zoo_s_users_look_for(done):
    log = log_of(done)
    line = rf"^epoch: (\d+), step: (\d+), loss are \({NUMBER}, False, 65536\), "
    found = re.findall(line + rf"logits {NUMBER}, labels {NUMBER}, skipped", log, re.M)
    steps = (*range(2, 15, 2), 15)
    assert [tuple(map(int, pair)) for pair in found] == [(1 + (step - 1) // 5, step) for step in steps]
    assert len(re.findall(r"^epoch time: [\d.]+ ms, per step time: [\d.]+ ms$", log, re.M)) == 3
    # Every two steps, and at the end of each epoch of five.
    results = [ast.literal_eval(text) for text in re.findall(r"^The current result is (.*)$", log, re.M)]
    assert len(results) == 9 and all(set(result) == {"accuracy"} for result in results)
    best = max(result["accuracy"] for result in results)
    assert f"best acc: {best:.6f}" in log.splitlines()[-6:]
    assert metrics_of(done / "best")["eval_accuracy"] == best
    last = {"eval_accuracy": results[-1]["accuracy"], "eval_samples": 13, "epoch": 3, "step": 15}
    assert metrics_of(done / "last") == last
    assert "input ranges: widened to the maximum over 16 training rows" in log and "teacher from" in log
    assert "weights in 8 bits (one range per tensor), embeddings in 8, inputs of dense layers in 8" in log
    # The ranges are no parameters.
    assert f"\n{weight_count(SHALLOW):,} parameters, weights" in log


def test_the_quantized_model_keeps_its_accuracy(done, float_model):
    assert metrics_of(float_model)["eval_accuracy"] >= 0.9
    assert metrics_of(done / "best")["eval_accuracy"] >= metrics_of(float_model)["eval_accuracy"] - 0.1


def test_evaluate_says_the_same(done, sst2, tmp_path, capsys):
    """Simulation: the folder alone tells that the network is quantized."""
    evaluate(tiny.flags(model_dir=done / "best", task_name="sst2", eval_data_dir=sst2, output_dir=tmp_path))
    best = metrics_of(done / "best")
    assert json.loads(capsys.readouterr().out) == {n: best[n] for n in ("eval_accuracy", "eval_samples")}


def test_ctrl_c_and_resuming_end_where_an_unbroken_run_ends(done, float_model, sst2, tmp_path, monkeypatch):
    """The ranges go on from the checkpoint; nothing is calibrated anew."""
    from src.train.logger import RunLogger

    log_step, out = RunLogger.log_step, tmp_path / "out"

    def log_and_interrupt(logger, **values):
        log_step(logger, **values)
        if values["step"] == 6:
            os.kill(os.getpid(), signal.SIGINT)

    flags = arguments(sst2, out, float_model, load_teacher_ckpt_path=float_model, **QUANTIZED)
    with monkeypatch.context() as patch:
        patch.setattr(RunLogger, "log_step", log_and_interrupt)
        with pytest.raises(Interrupted, match="at step 6 of quantization-aware training, state saved"):
            main(flags)
    main([*flags, "--resume"])
    log = log_of(out)
    assert "phase1_step_6.safetensors (step 6)" in log and log.count("input ranges: widened") == 1
    for name in ("best", "last"):
        tiny.assert_same_weights(weights_of(out / name), weights_of(done / name))
        assert metrics_of(out / name) == metrics_of(done / name)
    assert log.count("The current result is") == log_of(done).count("The current result is")


@pytest.mark.slow
def test_two_ranks_equal_one_of_twice_the_batch(tmp_path, float_model, sst2):
    """Ranges are those of all ranks. A number may be rounded to its other side, so that not all is equal."""
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}

    def train(name, launcher, **flags):
        values = {"epoch_num": 2, "eval_ckpt_step": 1000, "calibration_steps": 2, "ema_decay": 0.9, **flags}
        flags = arguments(sst2, tmp_path / name, float_model, **values)
        command = [*launcher, "run_q8bert_train.py", *flags]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return weights_of(tmp_path / name / "last")

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    msrun = [
        str(folder / "msrun"),
        "--worker_num=2",
        "--local_worker_num=2",
        "--join=True",
        f"--master_port={port}",
        f"--log_dir={tmp_path / 'logs'}",
    ]
    one = train("one", [sys.executable], batch_size=16)
    two = train("two", msrun, batch_size=8, distribute="true", device_num=2)
    assert all("maximum over 32 training rows" in log_of(tmp_path / name) for name in ("one", "two"))
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, atol=2e-3, err_msg=name)
        if name.endswith("input_threshold"):
            np.testing.assert_allclose(two[name], array, rtol=2e-3, err_msg=name)


def test_calibration_alone(float_model, sst2, tmp_path):
    """Post-training quantization: the weights stay, the ranges are new, the result is evaluated."""
    out = tmp_path / "out"
    main(arguments(sst2, out, float_model, epoch_num=0, calibration_steps=3, per_channel="true"))
    written, before = weights_of(out / "last"), weights_of(float_model)
    for name, array in before.items():
        np.testing.assert_array_equal(written[name], array, err_msg=name)
    assert set(written) - set(before) == set(ranges_of(out / "last")) and len(ranges_of(out / "last")) == 8
    assert BertConfig.from_json(out / "best" / "config.json").quantization == Quantization(per_channel=True)
    log = log_of(out)
    assert "input ranges: widened to the maximum over 24 training rows" in log and "epoch:" not in log
    assert metrics_of(out / "best")["eval_samples"] == 13 and "one range per output" in log
    assert len(re.findall(r"^best acc: [01]\.\d{6}$", log, re.M)) == 1


def test_regression_with_a_teacher(tmp_path, vocabulary, monkeypatch):
    texts = {"train": tiny.score_rows(24, 1), "dev": tiny.score_rows(9, 2)}
    records = tiny.prepare_task(tmp_path, vocabulary, "STS-B", texts)
    config = SHALLOW.replace(labels=(), output_mode="regression")
    model, out = tiny.write_model(tmp_path / "model", vocabulary, config), tmp_path / "out"
    values = {
        "load_teacher_ckpt_path": model,
        "epoch_num": 1,
        "weight_bits": 2,
        "embedding_bits": 3,
        "activation_init": 2.5,
        "calibration_steps": 0,
        "ema_decay": 1,
        "temperature": 4,
    }
    temperatures = tiny.temperatures_of(q8bert, monkeypatch)
    main(arguments(records, out, model, task="STS_B", **values))
    log = log_of(out)
    line = rf"^epoch: 1, step: 3, loss are \({NUMBER}, False, 65536\), logits {NUMBER}, skipped"
    assert re.search(line, log, re.M)
    result = ast.literal_eval(re.search(r"^The current result is (.*)$", log, re.M)[1])
    assert set(result) == {"pearson", "spearmanr", "corr"}
    assert re.search(rf"^best pearson: {NUMBER}$", log, re.M)
    assert BertConfig.from_json(out / "last" / "config.json").quantization == Quantization(2, 3, 8)
    assert temperatures == [1.0]
    assert "input ranges: 8 unset ones initialized to 2.5" in log
    # A decay of 1 keeps the first value.
    assert {float(array[0]) for array in ranges_of(out / "last").values()} == {2.5}


def test_a_quantized_teacher_in_task_distillation(done, sst2, tmp_path, capsys):
    """It teaches in simulation; a student made of its layers is one in float."""
    out = tmp_path / "out"
    flags = {
        "task_name": "SST-2",
        "load_teacher_ckpt_path": done / "best",
        "train_data_dir": sst2,
        "eval_data_dir": sst2,
        "output_dir": out,
        "td_phase1_epoch_size": 0,
        "train_steps": 1,
        "student_init": "teacher_layers",
        "num_hidden_layers": 1,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "do_eval": "false",
    }
    distill([*tiny.flags(**flags), *FLAGS[:2]])
    assert not ranges_of(out / "last")
    assert BertConfig.from_json(out / "last" / "config.json").quantization is None
    capsys.readouterr()
    # The student itself has to be in float.
    flags.update(student_init="general", load_gd_ckpt_path=done / "best", output_dir=tmp_path / "none")
    message = refused(distill, tiny.flags(**flags), capsys)
    assert "is quantized; continue its training with python run_q8bert_train.py" in message


def test_the_launcher(tmp_path):
    """Its variables are flags, the command line wins, and what is unset is an error that names the line."""

    def launch(*flags):
        return subprocess.run(["bash", LAUNCHER, *flags], cwd=tmp_path, capture_output=True, text=True)

    paths = ("--load_ckpt_path", "m", "--train_data_dir", "r", "--eval_data_dir", "r")
    words = shlex.split(launch("--dry_run", "--task_name", "CoLA", "--epoch_num", "0", *paths).stdout)
    _, resolved = resolve(words[words.index(next(w for w in words if w.endswith("q8bert_train.py"))) + 1 :])
    config = resolved.config
    assert (config.task_name, config.epoch_num, config.load_ckpt_path) == ("CoLA", 0, "m")
    assert (config.batch_size, config.eval_ckpt_step, config.load_teacher_ckpt_path) == (16, 100, "")
    refusal = launch("--task_name", "CoLA", *paths[2:])
    number = re.search(r"load_ckpt_path is unset: edit line (\d+) of ", refusal.stderr)[1]
    assert refusal.returncode == 2
    assert LAUNCHER.read_text().splitlines()[int(number) - 1].startswith("load_ckpt_path=")


# Wrong inputs

WRONG = {
    "one bit": ({"weight_bits": 1}, "--weight_bits 1 (command line) must be 0, or from 2 to 8"),
    "nine bits": ({"activation_bits": 9}, "--activation_bits 9 (command line) must be 0, or from 2 to 8"),
    "bits below zero": ({"embedding_bits": -8}, "--embedding_bits -8 (command line) must be 0, or from"),
    "bits with a point": ({"weight_bits": "4.5"}, "'4.5' is not an integer"),
    "no bits": (
        {"weight_bits": 0, "embedding_bits": 0, "activation_bits": 0},
        "are all 0: nothing to quantize",
    ),
    "quantizer": ({"quantizer": "ternary"}, "--quantizer ternary (command line) is not one of symmetric"),
    "first value": ({"activation_init": "first"}, "--activation_init first (command line) must be none or"),
    "first value below zero": ({"activation_init": -1}, "must be none or a number above 0"),
    "decay": ({"ema_decay": 1.5}, "--ema_decay 1.5 (command line) must be between 0 and 1"),
    "calibration": ({"calibration_steps": -1}, "--calibration_steps -1 (command line) must be 0 or more"),
    "nothing to do": ({"epoch_num": 0, "do_quant": "false"}, "--epoch_num 0 with --do_quant false: nothing"),
    "no ranges": ({"epoch_num": 0, "calibration_steps": 0}, "give --calibration_steps above 0"),
    "no model": ({"load_ckpt_path": ""}, "--load_ckpt_path is required"),
    "model absent": ({"load_ckpt_path": "none"}, "none does not exist; give a model folder"),
    "teacher absent": ({"load_teacher_ckpt_path": "none"}, "none does not exist; give a model folder"),
    "no task": ({"task_name": "", "train_data_dir": ".", "eval_data_dir": "."}, "--task_name is required: a"),
    "labels": ({"num_labels": -2}, "--num_labels -2 (command line) must be 0 or more"),
    "mode": ({"output_mode": "x"}, "is not one of classification, multi_label"),
    "misspelt task": ({"task_name": "STSB-B"}, 'did you mean "STS-B"'),
    "misspelt flag": ({"do_quantize": "true"}, 'did you mean "--do_quant'),
}


@pytest.mark.parametrize("changes, complaint", WRONG.values(), ids=WRONG)
def test_wrong_inputs(here, start, sst2, capsys, changes, complaint):  # noqa: F811
    flags = {
        "task_name": "SST-2",
        "load_ckpt_path": start,
        "train_data_dir": sst2,
        "eval_data_dir": sst2,
        "output_dir": "out",
        **changes,
    }
    assert complaint in refused(main, tiny.flags(**flags), capsys)


def test_a_model_without_head_cannot_be_calibrated_alone(here, vocabulary, sst2, capsys):  # noqa: F811
    model = tiny.write_model(here / "model", vocabulary, SHALLOW.replace(labels=()))
    flags = {"task_name": "SST-2", "load_ckpt_path": model, "train_data_dir": sst2, "output_dir": "out"}
    assert "has no head for SST-2" in refused(main, tiny.flags(**flags, epoch_num=0), capsys)


def test_a_quantized_model_is_not_fine_tuned_in_float(here, done, sst2, capsys):  # noqa: F811
    flags = tiny.flags(
        task_name="SST-2",
        load_pretrained_path=done / "best",
        train_data_dir=sst2,
        eval_data_dir=sst2,
        output_dir="out",
    )
    assert "is quantized; continue its training with python run_q8bert_train.py" in refused(
        finetune, flags, capsys
    )


def test_without_rounded_inputs_there_is_no_range_to_set():
    flags = tiny.flags(task_name="SST-2", epoch_num=0, activation_bits=0, calibration_steps=0)
    assert resolve(flags)[1].config.quantization == Quantization(activation_bits=0)
