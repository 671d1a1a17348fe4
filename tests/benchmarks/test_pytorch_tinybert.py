"""The PyTorch reference of the benchmarks has the losses of this project: same weights, same batch."""

import numpy as np
import pytest
from mindspore import Tensor

from src.config.data_config import DeviceConfig
from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_rows, prediction_rows
from src.model.bert import BertClassifier
from src.model.layers import Dense
from src.model.loading import load_strict
from src.stages.model.device import setup_device
from src.stages.training.fit import freeze
from src.weights.huggingface import write_directory
from tests.tiny import TINY, random_arrays, token_batch

pytestmark = pytest.mark.reference
STUDENT = TINY.replace(hidden_size=16, num_hidden_layers=1, intermediate_size=24)
LAYER_MAP = (2,)
TEMPERATURE = 2.0


@pytest.fixture(scope="module")
def arrays():
    """Weights of teacher, student and projection, in their Hugging Face names."""
    draw = np.random.default_rng(2)
    fit = {"weight": draw.standard_normal((32, 16)), "bias": draw.standard_normal(32)}
    fit = {name: (0.2 * array).astype(np.float32) for name, array in fit.items()}
    return random_arrays(TINY, 0), random_arrays(STUDENT, 1), fit


@pytest.fixture(scope="module")
def reference(arrays, tmp_path_factory):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from benchmarks.pytorch_tinybert import TinyBert, load_bert

    networks = []
    for name, config, weights in zip(("teacher", "student"), (TINY, STUDENT), arrays, strict=False):
        folder = tmp_path_factory.mktemp("models") / name
        write_directory(folder, weights, config)
        networks.append(load_bert(str(folder)))
    network = TinyBert(*networks, LAYER_MAP)
    network.fit.load_state_dict({name: torch.from_numpy(array) for name, array in arrays[2].items()})
    return network


def ours(arrays, phase, batch):
    """The parts of this project's loss."""
    layers = setup_device(DeviceConfig(device_target="CPU", kernels="off"), print).layers
    networks = []
    for config, weights in zip((TINY, STUDENT), arrays, strict=False):
        networks.append(BertClassifier(config, layers))
        load_strict(networks[-1], dict(weights), "a test")
    teacher = freeze(networks[0])
    if phase == 1:
        projection = Dense(16, 32, STUDENT)
        load_strict(projection, dict(arrays[2]), "a test")
        rows = intermediate_rows(1.0, 1.0, 1.0)
        network = DistillNetwork(networks[1], rows, teacher, LAYER_MAP, projection, include_padding=True)
    else:
        rows = prediction_rows("classification")
        network = DistillNetwork(networks[1], rows, teacher, temperature=TEMPERATURE)
    size = len(batch[0])
    columns = (*batch, np.zeros(size, np.int32), np.ones(size, np.float32))
    return network.set_train(False)(*map(Tensor, columns))[1].asnumpy()


def theirs(network, losses, batch, **more):
    """The parts of the reference's loss."""
    import torch

    network.eval()
    return [part.item() for part in losses([torch.from_numpy(c.astype(np.int64)) for c in batch], **more)]


@pytest.mark.parametrize("padded", [False, True])
def test_phase_1(arrays, reference, padded):
    batch = token_batch()
    if not padded:
        batch = batch[0] + 5 * (1 - batch[2]), batch[1], np.ones_like(batch[2])
    expected = theirs(reference, reference.intermediate, batch)
    found = ours(arrays, 1, batch)
    assert min(expected) > 0.01
    # Scores of padded keys are zeros there, as in the authors' code, and numbers here.
    compared = slice(2 if padded else 3)
    assert found[compared] == pytest.approx(expected[compared], rel=1e-4)


def test_phase_2(arrays, reference):
    batch = token_batch()
    expected = theirs(reference, reference.prediction, batch, temperature=TEMPERATURE)
    assert ours(arrays, 2, batch) == pytest.approx(expected, rel=1e-4)


def test_a_step_learns_with_dropout_in_the_student_alone(reference):
    import torch

    from benchmarks.pytorch_tinybert import Trainer

    reference.train()
    assert not reference.teacher.training and reference.student.training
    before = {name: weight.clone() for name, weight in reference.state_dict().items()}
    batch = [torch.from_numpy(column.astype(np.int64)) for column in token_batch()]
    trainer = Trainer(reference, reference.intermediate, learning_rate=1e-3)
    losses = [trainer.step(batch) for _ in range(8)]
    assert losses[-1] < losses[0]
    after = reference.state_dict()
    assert {name.split(".")[0] for name in after if (after[name] != before[name]).any()} == {"student", "fit"}
