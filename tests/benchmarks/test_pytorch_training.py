"""Complete trainings here and in PyTorch, without dropout, end at the same weights."""

import numpy as np
import pytest

import run_finetune
import run_task_distill
from src.config import finetune_config, td_config
from src.weights.huggingface import PROJECTION
from src.weights.reader import read_weights
from tests.tiny import TINY, flags, random_arrays, write_model

pytestmark = [pytest.mark.reference, pytest.mark.usefixtures("graph_mode")]
STUDENT = TINY.replace(hidden_size=16, num_hidden_layers=1, intermediate_size=24)
OPTIMIZER = {"batch_size": 8, "length_buckets": "off", "learning_rate": 1e-3, "seed": 3}


def stage_flags(sst2, out, **values):
    places = {"train_data_dir": sst2, "eval_data_dir": sst2, "output_dir": out}
    return flags(task_name="SST-2", **places, **OPTIMIZER, **values)


def assert_close(model, folder):
    """The weights of a model in PyTorch are those of `folder`; the steps moved them by 100 times as much.

    The gradient of a key's bias is zero (softmax cancels it), so that rounding alone moves it.
    """
    ours = read_weights(folder).arrays
    for name, parameter in model.named_parameters():
        if name.endswith("key.bias"):
            continue
        np.testing.assert_allclose(ours[name], parameter.detach().numpy(), atol=5e-5, err_msg=name)


def with_trained_padding(source):
    """Losses that include padding have a gradient of [PAD], which PyTorch's embedding drops."""
    from benchmarks.subjects.pytorch_tinybert import load_bert

    model = load_bert(source)
    model.get_input_embeddings().padding_idx = None
    return model


@pytest.mark.parametrize("eps, decay", [(1e-6, 1e-4), (1e-8, 0.01)])
def test_fine_tuning(sst2, vocabulary, tmp_path, eps, decay):
    pytest.importorskip("torch")
    from benchmarks.subjects.pytorch_training import finetune

    start = write_model(tmp_path / "start", vocabulary)
    given = {"load_pretrained_path": start, "epoch_size": 2, "eps": eps, "weight_decay": decay}
    arguments = stage_flags(sst2, tmp_path / "out", **given)
    run_finetune.main(arguments)
    assert_close(finetune(finetune_config.resolve(arguments)[1].config), tmp_path / "out" / "last")


def test_distillation(sst2, vocabulary, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from benchmarks.subjects import pytorch_training

    teacher = write_model(tmp_path / "teacher", vocabulary)
    rng = np.random.default_rng(2)
    projection = {
        f"{PROJECTION}weight": 0.2 * rng.standard_normal((32, 16)),
        f"{PROJECTION}bias": np.zeros(32),
    }
    arrays = {
        **random_arrays(STUDENT, 1),
        **{name: array.astype(np.float32) for name, array in projection.items()},
    }
    student = write_model(tmp_path / "student", vocabulary, STUDENT, arrays)
    given = {"load_teacher_ckpt_path": teacher, "load_gd_ckpt_path": student, "loss_padding": "include"}
    given |= {"td_phase1_epoch_size": 2, "td_phase2_epoch_size": 2, "phase2_learning_rate": 5e-4}
    arguments = stage_flags(sst2, tmp_path / "out", **given)
    run_task_distill.main(arguments)
    monkeypatch.setattr(pytorch_training, "load_bert", with_trained_padding)
    assert_close(pytorch_training.distill(td_config.resolve(arguments)[1].config), tmp_path / "out" / "last")
