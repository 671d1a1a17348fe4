"""Phase 1 with kernels and with plain operators: the same gradients and the same weights after many steps."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from src.config.bert_config import BertConfig, preset
from src.config.train_config import TrainConfig
from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_terms
from src.model.bert import BertClassifier
from src.model.layers import Dense
from src.model.state_dict import load_strict
from src.stages.model.device import DeviceSetup, kernel_parts
from src.stages.training.fit import freeze
from src.train.optimizer import adam_weight_decay, polynomial_schedule
from src.train.train_step import LossScale, TrainStep
from tests import tiny

pytestmark = pytest.mark.usefixtures("graph_mode")
LABELS = {"labels": ("0", "1"), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def both_devices(library):
    types = ("CPU", "float32", "float32")
    return DeviceSetup(*types, **kernel_parts(library)), DeviceSetup(*types)


def phase1(device, teacher_config, student_config, layer_map, spread):
    """The network of phase 1 with the same random weights whatever the device."""
    networks = []
    for config in (teacher_config, student_config):
        networks.append(BertClassifier(config, device.layers))
        load_strict(networks[-1], tiny.random_arrays(config, seed=1, spread=spread), "random")
    teacher, student = networks
    projection = Dense(student_config.hidden_size, teacher_config.hidden_size, student_config)
    draw = np.random.default_rng(2).standard_normal(projection.weight.shape)
    projection.weight.set_data(Tensor((spread * draw).astype(np.float32)))
    rows = intermediate_terms(1.0, 1.0, 1.0, **device.losses)
    network = DistillNetwork(student, rows, freeze(teacher), layer_map, projection)
    network.set_train(True)
    teacher.set_train(False)
    return network


def batch_of(config, rows, length, seed):
    """A batch of rows of different lengths, with labels and weights."""
    columns = tiny.token_batch(config, rows, length, seed)
    return tuple(map(Tensor, (*columns, np.zeros(rows, np.int32), np.ones(rows, np.float32))))


def test_same_weights_after_fifty_steps(library):
    teacher = tiny.TINY.replace(num_hidden_layers=1)
    student = teacher.replace(hidden_size=24)
    steps, schedule = [], polynomial_schedule(100, 1e-3, 0.0, 1.0, 0.1)
    for device in both_devices(library):
        network = phase1(device, teacher, student, (1,), 0.2)
        optimizer = adam_weight_decay(network.trainable_params(), schedule, TrainConfig(), device.optimizer)
        scale = LossScale(1024.0, 2.0, 50)
        steps.append(TrainStep(network, optimizer, scale, 1.0, squared_norm=device.squared_norm))
    first = [parameter.asnumpy().copy() for parameter in steps[0].network.student.get_parameters()]
    for number in range(50):
        batch = batch_of(tiny.TINY, 4, 16, number)
        losses = [float(step(*batch)[0].asnumpy()) for step in steps]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    pairs = zip(*(step.network.student.get_parameters() for step in steps), strict=True)
    # 50 steps of Adam move a weight by up to 0.03; how far the two ways are apart is a hundredth of that.
    for (ours, theirs), start in zip(pairs, first, strict=True):
        if "classifier" not in ours.name and "pooler" not in ours.name:
            assert np.abs(ours.asnumpy() - start).max() > 1e-2, ours.name
        np.testing.assert_allclose(ours.asnumpy(), theirs.asnumpy(), atol=3e-4, err_msg=ours.name)


@pytest.mark.slow
@pytest.mark.parametrize("length", [16, 128])
def test_gradients_at_full_size(library, length):
    """BERT-base and the 4-layer student on 32 rows with padding: the loss and each gradient."""
    teacher, student = BertConfig(vocab_size=1000, **LABELS), preset("4L-312", vocab_size=1000, **LABELS)
    found = []
    for device in both_devices(library):
        network = phase1(device, teacher, student, (3, 6, 9, 12), 0.04)
        weights = network.trainable_params()
        gradient = ms.value_and_grad(network, None, weights, has_aux=True)
        (loss, _), gradients = gradient(*batch_of(teacher, 32, length, 0))
        found.append((float(loss.asnumpy()), [value.asnumpy() for value in gradients]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    whole = np.sqrt(sum((array.astype(np.float64) ** 2).sum() for array in found[1][1]))
    for parameter, ours, theirs in zip(weights, *(gradients for _, gradients in found), strict=True):
        distance, size = np.linalg.norm(ours - theirs), np.linalg.norm(theirs)
        # A gradient that is zero but for rounding (a key's bias) is judged by the whole.
        assert distance < 1e-4 * max(size, 1e-3 * whole), f"{parameter.name}: {distance} of {size}"
