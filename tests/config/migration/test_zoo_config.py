"""The model zoo's YAML files and its recipe: values, networks, precedence, errors."""

import pytest

from src.config.bert_config import BertConfig
from src.config.gd_config import resolve as general
from src.config.migration import zoo_config, zoo_recipe
from src.config.q8bert_config import resolve as q8bert
from src.config.td_config import resolve as distill
from src.errors import UserError

NET = """
    seq_length: 128
    vocab_size: {vocab}
    hidden_size: {hidden}
    num_hidden_layers: {layers}
    num_attention_heads: 12
    intermediate_size: {inner}
    hidden_act: "gelu"
    hidden_dropout_prob: 0.1
    attention_probs_dropout_prob: 0.1
    max_position_embeddings: 512
    type_vocab_size: 2
    initializer_range: 0.02
    use_relative_positions: False
    dtype: mstype.float32
    compute_type: mstype.float16
"""
OPTIMIZER = """AdamWeightDecay:
{pad}    learning_rate: {rate}  # a comment
{pad}    end_learning_rate: 0.00000000000001
{pad}    power: 1.0
{pad}    weight_decay: 0.0001
{pad}    eps: 0.000001
{pad}    decay_filter: ['layernorm', 'bias']
"""
BASE = dict(vocab=21128, hidden=768, layers=12, inner=3072)
SMALL = dict(vocab=21128, hidden=384, layers=4, inner=1536)
HELP = """---
# Help
task_type: "The type of the task to train."
---
device_target: ['Ascend', 'GPU', 'CPU']
"""


def td_yaml(**changes):
    """The shape of td_config_ner.yaml as published, with other top-level values."""
    top = {
        "enable_modelarts": "False", "data_url": '""', "data_path": '"/cache/data"',
        "description": "'task_distill'", "device_target": '"CPU"', "task_type": '"classification"',
        "task_name": '""', "do_train": '"true"', "td_phase1_epoch_size": 10, "td_phase2_epoch_size": 3,
        "enable_data_sink": '"true"', "data_sink_steps": 1, "save_ckpt_step": 100, "load_gd_ckpt_path": '""',
        "train_data_dir": '""', "assessment_method": '"accuracy"', "ckpt_file": "''",
        "file_name": '"tinybert"', "file_format": '"MINDIR"', "num_labels": 43, "seed1": 123, "seed2": 1234,
    } | changes  # fmt: skip
    text = "".join(f"{key}: {value}\n" for key, value in top.items() if value is not None)
    for number, scale, rate in ((1, 256, 0.00005), (2, 65536, 0.00002)):
        text += f"phase{number}_cfg:\n    batch_size: 32\n    loss_scale_value: {scale}\n"
        text += "    scale_factor: 2\n    scale_window: 50\n    optimizer_cfg:\n        "
        text += OPTIMIZER.format(pad=" " * 8, rate=f"{rate:.5f}")
    text += "eval_cfg:\n    batch_size: 32\n"
    return text + f"td_teacher_net_cfg:{NET.format(**BASE)}td_student_net_cfg:{NET.format(**SMALL)}{HELP}"


def gd_yaml():
    text = "description: 'general_distill'\ndistribute: \"false\"\nepoch_size: 3\ndevice_num: 1\n"
    text += "save_ckpt_path: ''\n"
    text += "common_cfg:\n    batch_size: 32\n    loss_scale_value: 65536\n    scale_factor: 2\n"
    text += "    scale_window: 1000\n    " + OPTIMIZER.format(pad="    ", rate="0.00005")
    return text + f"bert_teacher_net_cfg:{NET.format(**BASE)}bert_student_net_cfg:{NET.format(**SMALL)}{HELP}"


@pytest.fixture
def write(tmp_path):
    def written(text, name="td.yaml"):
        (tmp_path / name).write_text(text)
        return f"--config_path={tmp_path / name}"

    return written


def test_a_file_of_task_distillation(write):
    task, resolved = distill([write(td_yaml()), "--task_name=CLUENER", "--task_type=ner", "--batch_size=8"])
    config, origins = resolved.config, resolved.origins
    assert (config.num_labels, len(task.labels), task.output_mode) == (43, 43, "token_classification")
    assert task.best_metric == "token_accuracy"  # assessment_method: accuracy
    assert (config.batch_size, origins["batch_size"]) == (8, "command line")
    assert (config.td_phase1_epoch_size, origins["td_phase1_epoch_size"]) == (10, "config file")
    assert (config.loss_scale_value, config.phase2_loss_scale_value) == (256.0, 65536.0)
    assert (config.learning_rate, config.phase2_learning_rate) == (5e-5, 2e-5)
    assert config.do_train is True and config.enable_data_sink == "true" and config.seed == 123
    assert config.output_dir == "" and config.end_learning_rate == 1e-14
    # The student is new, so the file's network is its architecture.
    assert (config.num_hidden_layers, config.hidden_size, config.intermediate_size) == (4, 384, 1536)
    teacher, student = resolved.networks["teacher"], resolved.networks["student"]
    assert (teacher.vocab_size, teacher.num_hidden_layers, student.hidden_size) == (21128, 12, 384)
    for net in (teacher, student):
        assert (net.head_activation, net.hidden_act, net.layer_norm_eps) == ("relu", "gelu_new", 1e-7)


def test_a_given_student_keeps_its_architecture(write):
    _, resolved = distill([write(td_yaml(num_labels=2)), "--task_name=SST-2", "--load_gd_ckpt_path=x.ckpt"])
    assert resolved.config.hidden_size == 0 and resolved.networks["student"].hidden_size == 384


def test_a_file_of_general_distillation(write):
    resolved = general([write(gd_yaml(), "gd.yaml")])
    config = resolved.config
    assert (config.batch_size, config.scale_window, config.epoch_size) == (32, 1000, 3)
    assert (config.hidden_size, config.hidden_act, config.device_num) == (384, "gelu_new", 0)
    assert resolved.networks["teacher"].hidden_size == 768


def test_a_path_relative_to_the_zoo_s_module(write, tmp_path, monkeypatch):
    write(gd_yaml(), "gd_config.yaml")
    monkeypatch.setattr(zoo_config, "ZOO_FOLDER", tmp_path / "src" / "model_utils")
    assert general(["--config_path=../../gd_config.yaml"]).config.batch_size == 32


@pytest.mark.parametrize(
    "change, words",
    [
        (("device_target:", "device_targt:"), 'line 5: unknown key "device_targt"; did you mean "device_tar'),
        (("scale_window: 50\n", "scale_windw: 50\n"), 'unknown key "phase1_cfg.scale_windw"'),
        (("    hidden_act:", "    hidden_actt:"), 'unknown key "td_teacher_net_cfg.hidden_actt"'),
        (("epoch_size: 10", "epoch_size: ten"), 'td_phase1_epoch_size "ten" is not an integer'),
        (("enable_modelarts: False", "enable_modelarts: True"), "enable_modelarts is not supported"),
        (("'bias']", "'bias', 'gamma']"), "no other weights are exempt"),
        (("task_distill'", "general_distill'"), "is for run_general_distill.py"),
        (("file_format", "seed1"), "duplicate key seed1, first given in line"),
        (("device_target: \"CPU\"", "device_target: [CPU"), "not valid YAML"),
        (("device_target: \"CPU\"", "device_target: TPU"), "device_target TPU is not one of auto, CPU, GPU"),
    ],
)  # fmt: skip
def test_one_sentence_for_a_wrong_file(write, change, words):
    text = td_yaml()
    assert change[0] in text
    with pytest.raises(UserError) as caught:
        distill([write(text.replace(*change, 1)), "--task_name=SST-2", "--num_labels=2"])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_what_one_flag_cannot_hold(write):
    text = td_yaml(num_labels=2)
    cut = text.rindex("batch_size: 32\n    loss_scale_value: 65536")
    with pytest.raises(UserError, match="phase2_cfg.batch_size 16 differs from phase1_cfg.b.* 32 in line"):
        distill([write(text[:cut] + text[cut:].replace("32", "16", 1)), "--task_name=SST-2"])
    with pytest.raises(UserError, match="config_path .*none.yaml cannot be read: No such file"):
        distill(["--config_path=none.yaml", "--task_name=SST-2"])


def test_the_recipe_of_the_zoo():
    task, resolved = distill(["--task_name=SST-2", "--recipe=zoo"])
    config = resolved.config
    expected = zoo_recipe.TASK_DISTILL | zoo_recipe.STUDENT | {"phase1_warmup_ratio": 0.01}
    assert {name: getattr(config, name) for name in expected} == expected
    assert set(resolved.origins[name] for name in expected) == {"recipe"}
    assert resolved.networks["student"].head_activation == "relu"
    assert resolved.networks["teacher"] == BertConfig(**zoo_recipe.ZOO_NET)
    # A given student keeps its own architecture, and the command line wins.
    _, resolved = distill(["--task_name=SST-2", "--recipe=zoo", "--load_gd_ckpt_path=x", "--clip_each=false"])
    assert resolved.config.head_activation == "none" and not resolved.config.clip_each
    config = general(["--recipe=zoo"]).config
    assert (config.batch_size, config.scale_window, config.student_preset) == (32, 1000, "4L-384")
    _, resolved = q8bert(["--task_name=SST-2", "--recipe=zoo"])
    assert (resolved.config.learning_rate, resolved.config.activation_init) == (1e-5, "2.5")
    assert resolved.networks["student"].hidden_act == "gelu_new"
    # Without it nothing changes.
    assert distill(["--task_name=SST-2"])[1].config.td_phase1_epoch_size == 20
    assert task.name == "SST-2"
