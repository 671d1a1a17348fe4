"""Every flag and parameter of the systems this project replaces exists, with its default."""

import dataclasses
import json
import re

import pytest

from src.config.bert_config import BertConfig
from src.config.cli import parse
from src.config.fields import GROUPS
from src.config.finetune_config import FinetuneConfig
from src.config.finetune_config import resolve as resolve_finetune
from src.config.gd_config import resolve as resolve_general
from src.config.q8bert_config import Q8BertConfig
from src.config.q8bert_config import resolve as resolve_q8bert
from src.config.td_config import STUDENT_NET, TEACHER_NET, TaskDistillConfig
from src.config.td_config import resolve as resolve_distill
from src.errors import UserError
from src.tools.augment import AugmentConfig
from src.tools.prepare import PrepareConfig

# The model zoo's run_task_distill.py: flag -> default (here `auto` decides by device).
MODEL_ZOO_FLAGS = {
    "device_target": "auto",
    "do_train": True,
    "do_eval": True,
    "td_phase1_epoch_size": 10,
    "td_phase2_epoch_size": 3,
    "device_id": 0,
    "do_shuffle": True,
    "enable_data_sink": "auto",
    "save_ckpt_step": 1000,
    "max_ckpt_num": 1,
    "data_sink_steps": 1,
    "load_teacher_ckpt_path": "",
    "load_gd_ckpt_path": "",
    "load_td1_ckpt_path": "",
    "train_data_dir": "",
    "eval_data_dir": "",
    "task_name": "",
    "schema_dir": "",
    "dataset_type": "tfrecord",
}
# Its td_config.py: optimizer, loss scale and the batch.
MODEL_ZOO_CONFIG = {
    "batch_size": 16,
    "loss_scale_value": 65536,
    "scale_factor": 2,
    "scale_window": 50,
    "learning_rate": 5e-5,
    "end_learning_rate": 1e-14,
    "power": 1.0,
    "weight_decay": 1e-4,
    "eps": 1e-6,
}
MODEL_ZOO_NET = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "use_relative_positions",
    "dtype",
    "compute_type",
)
NET_FLAGS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "initializer_range",
    "use_relative_positions",
    "dtype",
    "compute_type",
    "seq_length",
)
OWN_FLAGS = (
    "output_dir",
    "overwrite_output_dir",
    "resume",
    "train_steps",
    "max_rows",
    "seed",
    "temperature",
    "layer_map",
    "student_init",
    "loss_padding",
    "regression_target",
    "clip_norm",
    "length_buckets",
)


# The model zoo's Q8BERT: flags and config.py. Its bits of 2 and first value of 2.5 are TernaryBERT's.
Q8BERT_FLAGS = {
    "device_target": "auto",
    "do_eval": True,
    "epoch_num": 3,
    "device_id": 0,
    "do_shuffle": True,
    "enable_data_sink": "auto",
    "save_ckpt_step": 50,
    "eval_ckpt_step": 50,
    "max_ckpt_num": 1,
    "data_sink_steps": 1,
    "load_ckpt_path": "",
    "train_data_dir": "",
    "eval_data_dir": "",
    "task_name": "",
    "dataset_type": "tfrecord",
    "eval_batch_size": 32,
    "logging_step": -1,  # auto; theirs is 100
    "do_quant": True,
    "embedding_bits": 8,
    "weight_bits": 8,
    "activation_init": "none",
    "is_lgt_fit": False,
}
Q8BERT_OWN_FLAGS = ("train_batch_size", "load_teacher_ckpt_path", "cls_dropout_prob", "ema_decay")


def help_of(resolve, capsys):
    with pytest.raises(SystemExit) as stop:
        resolve(["--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def defaults(config_class):
    return {field.name: field.default for field in dataclasses.fields(config_class)}


def test_help_of_task_distillation(capsys):
    text = help_of(resolve_distill, capsys)
    flags = {word for word in text.split() if word.startswith("--")}
    assert {f"--{name}" for name in (*MODEL_ZOO_FLAGS, *MODEL_ZOO_CONFIG, *NET_FLAGS, *OWN_FLAGS)} <= flags


@pytest.mark.parametrize("resolve", [resolve_finetune, resolve_general, resolve_distill, resolve_q8bert])
def test_help_is_grouped_under_headings(resolve, capsys):
    """A usage line of one or two lines, then the flags under headings, each flag once."""
    text = help_of(resolve, capsys)
    usage, _, rest = text.partition("\n\n")
    assert usage.startswith("usage: python run_") and usage.endswith("[options]")
    assert len(usage.splitlines()) <= 2
    headings = [line[:-1] for line in rest.splitlines() if re.fullmatch(r"[a-z]+:", line)]
    assert headings == [name for name in GROUPS if name in headings]
    assert {"model", "data", "optimization", "checkpoints", "hardware"} <= set(headings)
    assert ("distillation" in headings) == (resolve is not resolve_finetune)
    listed = re.findall(r"^  (--\w+)", rest, re.MULTILINE)
    assert len(listed) == len(set(listed)) > 40


def test_the_usage_of_task_distillation(capsys):
    usage = " ".join(help_of(resolve_distill, capsys).partition("\n\n")[0].split())
    assert usage == (
        "usage: python run_task_distill.py --load_teacher_ckpt_path DIR --load_gd_ckpt_path DIR "
        "--train_data_dir DIR [options]"
    )


def test_help_of_fine_tuning(capsys):
    text = help_of(resolve_finetune, capsys)
    shared = set(MODEL_ZOO_FLAGS) & set(defaults(FinetuneConfig))
    assert {"device_target", "train_data_dir", "eval_data_dir", "save_ckpt_step", "do_shuffle"} <= shared
    for name in (*shared, *MODEL_ZOO_CONFIG, "load_pretrained_path", "epoch_size", "warmup_ratio"):
        assert f"--{name} " in text, name


def test_defaults_match_the_model_zoo():
    ours = defaults(TaskDistillConfig)
    for name, value in {**MODEL_ZOO_FLAGS, **MODEL_ZOO_CONFIG}.items():
        assert ours[name] == value, name


def test_q8bert(capsys):
    ours, text = defaults(Q8BertConfig), help_of(resolve_q8bert, capsys)
    for name, value in {**Q8BERT_FLAGS, **MODEL_ZOO_CONFIG}.items():
        assert ours[name] == value, name
    flags = {word for word in text.replace(",", "").split() if word.startswith("--")}
    assert {f"--{name}" for name in (*Q8BERT_FLAGS, *MODEL_ZOO_CONFIG, *Q8BERT_OWN_FLAGS)} <= flags
    assert resolve_q8bert(["--task_name", "COLA", "--train_batch_size", "64"])[1].config.batch_size == 64


def test_a_number_or_auto():
    for words, value in (([], -1), (["--logging_step", "auto"], -1), (["--logging_step=50"], 50)):
        assert resolve_distill(["--task_name=cola", *words])[1].config.logging_step == value
    with pytest.raises(UserError, match="--logging_step 0 .* must be above 0, or auto"):
        resolve_distill(["--task_name=cola", "--logging_step=0"])


def test_the_networks_of_the_config_module():
    assert {field.name for field in dataclasses.fields(BertConfig)} >= set(MODEL_ZOO_NET)
    assert TEACHER_NET == BertConfig(hidden_size=768, num_hidden_layers=12)
    # The model zoo's released student.
    assert (STUDENT_NET.num_hidden_layers, STUDENT_NET.hidden_size, STUDENT_NET.intermediate_size) == (
        4,
        384,
        1536,
    )


def test_precedence_of_flag_recipe_and_default():
    task, resolved = resolve_distill(["--task_name", "cola", "--batch_size", "8"])
    config, origins = resolved.config, resolved.origins
    assert task.name == "CoLA" and config.td_phase1_epoch_size == 50
    assert origins["td_phase1_epoch_size"] == "recipe" and origins["batch_size"] == "command line"
    task, resolved = resolve_finetune(["--task_name", "SST2"])
    assert task.name == "SST-2"
    config = resolved.config
    assert (config.learning_rate, config.batch_size, config.epoch_size) == (5e-5, 32, 3)


@pytest.mark.parametrize(
    "width, more, rate",
    [
        (384, [], 1e-4),
        (768, [], 5e-5),
        (384, ["--train_data_dir", "many"], 5e-5),
        (384, ["--train_data_dir", "many", "--max_rows", "4000"], 1e-4),
        (384, ["--learning_rate", "2e-5"], 2e-5),
        (384, ["--load_pretrained_path", ""], 5e-5),
        (384, ["--train_data_dir", "few/train.tfrecord"], 1e-4),
        (384, ["--train_data_dir", "few/train.tfrecord,many/train.tfrecord"], 5e-5),
        (384, ["--train_data_dir", "few/other.tfrecord"], 5e-5),
        (384, ["--train_data_dir", ",".join(f"few/part-{n:03}.tfrecord" for n in range(300))], 5e-5),
        (384, ["--train_data_dir", "texts"], 1e-4),
        (384, ["--load_pretrained_path", "model.safetensors"], 1e-4),
    ],
)
def test_the_learning_rate_of_a_small_model_on_few_rows(tmp_path, monkeypatch, width, more, rate):
    monkeypatch.chdir(tmp_path)
    for name, rows, without in (("few", 9_999, 0), ("many", 10_000, 0), ("texts", 40_000, 30_001)):
        files = {"train": {"file": "train.tfrecord", "rows": rows, "rows_without_label": without}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps({"files": files}))
    (tmp_path / "config.json").write_text(json.dumps(BertConfig(hidden_size=width).to_json_dict()))
    flags = ["--task_name", "CoLA", "--train_data_dir", "few", "--load_pretrained_path", "."]
    assert resolve_finetune([*flags, *more])[1].config.learning_rate == rate


def test_a_misspelt_task():
    for resolve in (resolve_distill, resolve_finetune):
        with pytest.raises(UserError, match='"SST-3" is not one of .*did you mean "SST-2"'):
            resolve(["--task_name", "SST-3"])


@pytest.mark.parametrize("flag, words", [
    ("--max_rows=0", "above 0, or -1"),
    ("--max_rows=-2", "above 0, or -1"),
    ("--train_steps=-2", "0 or more, or -1"),
    ("--seed=4294967296", "from 0 to 4294967295"),
    ("--loss_scale_value=0.5", "from 1 to 16777216"),
])  # fmt: skip
def test_numbers_out_of_range(flag, words):
    with pytest.raises(UserError, match=f"{flag.replace('=', ' ')} .* must be {words}"):
        resolve_finetune(["--task_name", "SST-2", flag])


@pytest.mark.parametrize("tool", [AugmentConfig, PrepareConfig])
def test_the_first_rows_of_a_file(tool):
    needed = [f"--{f.name}=x" for f in dataclasses.fields(tool) if f.metadata.get("required")]
    with pytest.raises(UserError, match="--max_rows -7 .* must be above 0, or -1"):
        parse(tool, [*needed, "--max_rows", "-7"])
