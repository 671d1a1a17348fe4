"""The PyTorch reference of the benchmarks computes the same losses: same weights, same batch."""

import numpy as np
import pytest
from mindspore import Tensor

from src.config.data_config import DeviceConfig
from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_terms, prediction_terms
from src.model.bert import BertClassifier
from src.model.layers import Dense
from src.model.state_dict import load_strict
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
    """Weights of teacher, student and projection, by Hugging Face names."""
    rng = np.random.default_rng(2)
    projection = {"weight": rng.standard_normal((32, 16)), "bias": rng.standard_normal(32)}
    projection = {name: (0.2 * array).astype(np.float32) for name, array in projection.items()}
    return random_arrays(TINY, 0), random_arrays(STUDENT, 1), projection


@pytest.fixture(scope="module")
def reference(arrays, tmp_path_factory):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from benchmarks.subjects.pytorch_tinybert import TinyBert, load_bert

    networks = []
    for name, config, weights in zip(("teacher", "student"), (TINY, STUDENT), arrays, strict=False):
        folder = tmp_path_factory.mktemp("models") / name
        write_directory(folder, weights, config)
        networks.append(load_bert(str(folder)))
    network = TinyBert(*networks, LAYER_MAP)
    network.projection.load_state_dict({name: torch.from_numpy(array) for name, array in arrays[2].items()})
    return network


def loss_parts(arrays, phase, batch):
    """Loss parts of this project."""
    layers = setup_device(DeviceConfig(device_target="CPU", kernels="off"), print).layers
    networks = []
    for config, weights in zip((TINY, STUDENT), arrays, strict=False):
        networks.append(BertClassifier(config, layers))
        load_strict(networks[-1], dict(weights), "a test")
    teacher = freeze(networks[0])
    if phase == 1:
        projection = Dense(16, 32, STUDENT)
        load_strict(projection, dict(arrays[2]), "a test")
        rows = intermediate_terms(1.0, 1.0, 1.0)
        network = DistillNetwork(networks[1], rows, teacher, LAYER_MAP, projection, include_padding=True)
    else:
        rows = prediction_terms("classification")
        network = DistillNetwork(networks[1], rows, teacher, temperature=TEMPERATURE)
    size = len(batch[0])
    columns = (*batch, np.zeros(size, np.int32), np.ones(size, np.float32))
    return network.set_train(False)(*map(Tensor, columns))[1].asnumpy()


def reference_parts(network, losses, batch, **options):
    """Loss parts of the PyTorch reference."""
    import torch

    network.eval()
    return [part.item() for part in losses([torch.from_numpy(c.astype(np.int64)) for c in batch], **options)]


@pytest.mark.parametrize("padded", [False, True])
def test_losses_of_phase_1(arrays, reference, padded):
    batch = token_batch()
    if not padded:
        batch = batch[0] + 5 * (1 - batch[2]), batch[1], np.ones_like(batch[2])
    expected = reference_parts(reference, reference.intermediate, batch)
    actual = loss_parts(arrays, 1, batch)
    assert min(expected) > 0.01
    # The reference sets the scores of padded keys to zero, as the authors' code does; this project does not.
    compared = slice(2 if padded else 3)
    assert actual[compared] == pytest.approx(expected[compared], rel=1e-4)


def test_losses_of_phase_2(arrays, reference):
    batch = token_batch()
    expected = reference_parts(reference, reference.prediction, batch, temperature=TEMPERATURE)
    assert loss_parts(arrays, 2, batch) == pytest.approx(expected, rel=1e-4)


def test_step_updates_student_and_projection_only(reference):
    import torch

    from benchmarks.subjects.pytorch_tinybert import Trainer

    reference.train()
    assert not reference.teacher.training and reference.student.training
    before = {name: weight.clone() for name, weight in reference.state_dict().items()}
    batch = [torch.from_numpy(column.astype(np.int64)) for column in token_batch()]
    trainer = Trainer(reference, reference.intermediate, learning_rate=1e-3)
    losses = [trainer.step(batch) for _ in range(8)]
    assert losses[-1] < losses[0]
    after = reference.state_dict()
    updated = {name.split(".")[0] for name in after if (after[name] != before[name]).any()}
    assert updated == {"student", "projection"}
