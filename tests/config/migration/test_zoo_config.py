"""The model zoo's YAML files and its recipe: values, networks, precedence, errors."""

import pytest

from src.config.bert_config import BertConfig
from src.config.gd_config import resolve as general
from src.config.migration import zoo_config, zoo_recipe
from src.config.q8bert_config import resolve as q8bert
from src.config.td_config import resolve as distill
from src.errors import UserError
from tests.zoo import gd_yaml, td_yaml


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
    monkeypatch.setattr(zoo_config, "IN_CHECKOUT", False)
    with pytest.raises(UserError, match="gd_config.yaml does not exist"):
        general(["--config_path=../../gd_config.yaml"])


@pytest.mark.parametrize(
    "change, words",
    [
        (("device_target:", "device_targt:"), 'line 5: unknown key "device_targt"; did you mean "device_tar'),
        (("scale_window: 50\n", "scale_windw: 50\n"), 'unknown key "phase1_cfg.scale_windw"'),
        (("    hidden_act:", "    hidden_actt:"), 'unknown key "td_teacher_net_cfg.hidden_actt"'),
        (("epoch_size: 10", "epoch_size: ten"), 'td_phase1_epoch_size "ten" is not an integer'),
        (("epoch_size: 10", f"epoch_size: {'9' * 5000}"), 'td_phase1_epoch_size "999'),
        (("device_target:", f"{'k' * 1000}:"), 'unknown key "kkkk'),
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
    assert words in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_what_one_flag_cannot_hold(write):
    text = td_yaml(num_labels=2)
    cut = text.rindex("batch_size: 32\n    loss_scale_value: 65536")
    with pytest.raises(UserError, match="phase2_cfg.batch_size 16 differs from phase1_cfg.b.* 32 in line"):
        distill([write(text[:cut] + text[cut:].replace("32", "16", 1)), "--task_name=SST-2"])
    with pytest.raises(UserError, match="none.yaml does not exist"):
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
    for start in ("teacher_layers", "pruned/folder"):
        _, resolved = distill(["--task_name=SST-2", "--recipe=zoo", f"--student_init={start}"])
        assert resolved.config.student_preset == ""
    for resolve in (general, lambda flags: distill(["--task_name=SST-2", *flags])[1]):
        resolved = resolve(["--recipe=zoo", "--intermediate_loss=relation"])
        assert resolved.origins["loss_padding"] == "default"
    config = general(["--recipe=zoo"]).config
    assert (config.batch_size, config.scale_window, config.student_preset) == (32, 1000, "4L-384")
    _, resolved = q8bert(["--task_name=SST-2", "--recipe=zoo"])
    assert (resolved.config.learning_rate, resolved.config.activation_init) == (1e-5, "2.5")
    assert resolved.config.calibration_steps == 0
    assert resolved.networks["student"].hidden_act == "gelu_new"
    # Without it nothing changes.
    assert distill(["--task_name=SST-2"])[1].config.td_phase1_epoch_size == 20
    assert task.name == "SST-2"
