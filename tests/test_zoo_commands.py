"""The command lines of the model zoo's published scripts, of both generations, typed as there.

Paths, devices and sizes differ: tiny networks and rows on a CPU. All are parsed; the slow tests run them.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from run_general_distill import main as general_distill
from run_task_distill import main as task_distill
from src.config.bert_config import BertConfig
from src.config.gd_config import resolve as resolve_general
from src.config.q8bert_config import resolve as resolve_q8bert
from src.config.td_config import resolve as resolve_task
from src.errors import UserError
from src.tools.convert import main as convert
from src.tools.evaluate import main as evaluate
from src.tools.export import main as export
from tests import tiny, zoo

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
# scripts/run_standalone_gd.sh of r1.2 and before, and of later releases.
GENERAL = """--distribute=false --device_target=CPU --epoch_size=1 --device_id=0 --enable_data_sink=true
    --data_sink_steps=100 --save_ckpt_step=100 --max_ckpt_num=1 --save_ckpt_path={out} --schema_dir=
    --load_teacher_ckpt_path={teacher} --data_dir={rows} --dataset_type=tfrecord"""
# scripts/run_standalone_td.sh of the same.
TASK = """--device_target=CPU --device_id=0 --do_train=true --do_eval=true --td_phase1_epoch_size=1
    --td_phase2_epoch_size=1 --do_shuffle=true --enable_data_sink=true --data_sink_steps={sink}
    --max_ckpt_num=1 --load_teacher_ckpt_path={teacher} --load_gd_ckpt_path={general} --load_td1_ckpt_path=
    --schema_dir= --train_data_dir={rows} --eval_data_dir={rows} --dataset_type=tfrecord --task_type={type}
    --task_name={name} --assessment_method={method}"""
Q8BERT = """--task_name=STS-B --device_target=CPU --device_id=0 --do_eval=True --load_ckpt_path=x.ckpt
    --train_data_dir=t --eval_data_dir=e --epoch_num=3 --logging_step=100 --data_sink_steps=100
    --save_ckpt_step=100 --do_quant=True"""


def words(text, **values):
    return text.format(**values).split()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.write_vocabulary(tmp_path)
    return tmp_path


def test_every_command_line_is_understood(folder):
    paths = dict(teacher="t.ckpt", general="g.ckpt", rows="rows", out="out")
    config = resolve_general(words(GENERAL, **paths)).config
    assert (config.output_dir, config.enable_data_sink, config.do_shuffle) == ("out", "true", True)
    (folder / "gd.yaml").write_text(zoo.gd_yaml())
    assert resolve_general(["--config_path=gd.yaml", *words(GENERAL, **paths)]).config.scale_window == 1000
    for name, kind, method, labels in (
        ("SST-2", "classification", "accuracy", 2),
        ("TNEWS", "classification", "mf1", 15),
        ("CLUENER", "ner", "bf1", 43),
    ):
        flags = words(TASK, **paths, sink=-1, name=name, type=kind, method=method)
        (folder / "td.yaml").write_text(zoo.td_yaml(num_labels=labels))
        task, resolved = resolve_task(["--config_path=td.yaml", *flags])
        assert len(task.labels) == labels and resolved.config.data_sink_steps == -1
        assert resolve_task(flags)[0].output_mode == task.output_mode
    task, resolved = resolve_q8bert(words(Q8BERT))
    assert task.output_mode == "regression" and resolved.config.do_quant


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["run_standalone_td.sh", "td.yaml"], ["run_task_distill.py", "--config_path", "td.yaml"]),
        (["run_standalone_gd.sh", "gd.yaml"], ["run_general_distill.py", "--config_path", "gd.yaml"]),
        (
            ["run_standalone_train.sh", *"STS-B Ascend t e x.ckpt".split()],
            ["run_q8bert_train.py", *words(
                "--task_name STS-B --device_target Ascend --train_data_dir t --eval_data_dir e "
                "--load_ckpt_path x.ckpt --recipe zoo"
            )],
        ),
        (
            ["run_eval.sh", *"STS-B Ascend e x.ckpt".split()],
            ["src.tools.evaluate", *words(
                "--recipe zoo --task_name STS-B --device_target Ascend --eval_data_dir e --model_dir x.ckpt"
            )],
        ),
    ],
)  # fmt: skip
def test_the_order_of_the_scripts_arguments(folder, arguments, expected):
    command = ["bash", SCRIPTS / arguments[0], *arguments[1:], "--dry_run"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert shown.returncode == 0 and " ".join(expected) in shown.stdout, shown.stderr
    assert "<unset>" not in shown.stdout


def test_too_few_arguments_are_one_sentence(folder):
    command = ["bash", SCRIPTS / "run_standalone_train.sh", "STS-B", "Ascend"]
    refused = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert refused.returncode == 2 and "TRAIN_DATA_DIR is missing; usage: bash" in refused.stderr


def test_air_is_refused_where_there_is_no_ascend(folder, graph_mode):
    tiny.write_model(folder / "model", folder, tiny.TINY)
    with pytest.raises(UserError, match="--format air is written on Ascend only; give"):
        export(["--ckpt_file=model", "--file_name=out", "--file_format=AIR"])
    assert not (folder / "out").exists()


def test_export_of_a_zoo_checkpoint(folder, graph_mode):
    (folder / "td.yaml").write_text(zoo.tiny_net(zoo.td_yaml(num_labels=2), layers=(2, 2)))
    zoo.write_zoo_ckpt(folder / "tinybert.ckpt", 2)
    export(
        "--config_path=td.yaml --task_name=SST-2 --ckpt_file=tinybert.ckpt --file_name=tinybert "
        "--file_format=ONNX".split()
    )
    config = BertConfig.from_json(folder / "tinybert" / "config.json")
    assert (folder / "tinybert" / "model.onnx").is_file() and config.labels == ("0", "1")
    assert (config.head_activation, config.hidden_act) == ("relu", "gelu_new")


@pytest.mark.slow
def test_task_distillation_and_the_way_back(folder, graph_mode, capsys):
    (folder / "td.yaml").write_text(zoo.tiny_net(zoo.td_yaml(num_labels=5)))
    zoo.write_zoo_ckpt(folder / "teacher.ckpt", 5, output_mode="token_classification")
    zoo.write_zoo_ckpt(folder / "general.ckpt", 0, layers=1, general=True)
    rows = zoo.write_rows(folder / "ner" / "train.tf_record", 5, by_token=True)
    paths = dict(teacher="teacher.ckpt", general="general.ckpt", rows=rows)
    flags = words(TASK, **paths, sink=-1, name="mine", type="ner", method="bf1")
    task_distill(["--config_path=td.yaml", *flags, "--recipe=zoo", "--output_dir=out"])
    log = (folder / "out" / "log.txt").read_text()
    assert "epoch: 1, step: 1, outputs are (" in log and "The best f1 is " in log
    # The zoo's scripts load the student: its names, as their eval_model.ckpt.
    convert(["--input=out/best", "--output_dir=back", "--to=mindspore"])
    capsys.readouterr()
    evaluate(["--model_dir=out/best", "--num_labels=5", "--task_type=ner", f"--eval_data_dir={rows}"])
    expected = json.loads(capsys.readouterr().out)
    back = words(TASK, **paths, sink=-1, name="mine", type="ner", method="bf1")
    task_distill(["--config_path=td.yaml", *back, "--do_train=false", "--load_td1_ckpt_path=back/model.ckpt"])
    found = json.loads(re.search(r"^\{.*\}$", capsys.readouterr().out, re.MULTILINE)[0])
    assert found["eval_token_accuracy"] == expected["eval_token_accuracy"]


@pytest.mark.slow
def test_general_distillation(folder, graph_mode):
    (folder / "gd_config.yaml").write_text(zoo.tiny_net(zoo.gd_yaml()))
    zoo.write_zoo_ckpt(folder / "bert.ckpt", 0)
    rows = zoo.write_rows(folder / "gd" / "train.tf_record", 0)
    flags = words(GENERAL, out="general", teacher="bert.ckpt", rows=rows)
    general_distill(["--config_path=gd_config.yaml", *flags])
    assert "outputs are (" in (folder / "general" / "log.txt").read_text()
    config = BertConfig.from_json(folder / "general" / "last" / "config.json")
    assert (config.num_hidden_layers, config.hidden_act) == (1, "gelu_new")


@pytest.mark.slow
def test_q8bert_s_scripts(folder):
    rows = zoo.write_rows(folder / "q8" / "train.tf_record", 2)
    tiny.write_model(folder / "model", folder, tiny.TINY)
    environment = {**os.environ, "PYTHON": sys.executable}
    for script, *arguments in (
        ("run_standalone_train.sh", rows, rows, "model", "--epoch_num", "1"),
        ("run_eval.sh", rows, "output/q8bert_SST-2/best"),
    ):
        command = ["bash", SCRIPTS / script, "SST-2", "CPU", *arguments]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "The current result is {" in (folder / "output" / "q8bert_SST-2" / "log.txt").read_text()
