"""The last layer for [CLS] alone, against all of its rows: logits, gradients, trained weights and ranges."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from src.config.quantization import RANGE, Quantization
from src.config.train_config import TrainConfig
from src.distill.cached_teacher import TeacherForward
from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_terms, label_terms, prediction_terms
from src.infer.predictor import LogitsCell
from src.model.bert import BertClassifier
from src.model.state_dict import load_strict, named_parameters
from src.quant.layers import bind_ranges, calibration_mode
from src.stages.model.device import DeviceSetup, kernel_parts
from src.stages.model.quantization import align_ranges, layers_for
from src.stages.training.fit import freeze, train_step
from src.train.distributed import Ranks
from tests import tiny

INT8 = Quantization(per_channel=True)
VARIANTS = {
    "bert": {},
    "relu head": {"head_activation": "relu", "hidden_act": "relu", "num_hidden_layers": 1},
    "relative": {"use_relative_positions": True},
    "distilbert": {"model_type": "distilbert", "type_vocab_size": 0},
    "roberta": {"model_type": "roberta", "type_vocab_size": 1, "max_position_embeddings": 40},
    "electra": {"model_type": "electra", "embedding_size": 16},
    "pruned heads": {"num_attention_heads": 3, "attention_head_size": 8},
    "int8": {"quantization": INT8},
    "int8 relative": {"quantization": INT8, "use_relative_positions": True},
}
CASES = [pytest.param(changes, True, id=f"{name}-kernels") for name, changes in VARIANTS.items()] + [
    pytest.param(VARIANTS["bert"], False, id="bert-plain"),
    pytest.param(VARIANTS["int8 relative"], False, id="int8 relative-plain", marks=pytest.mark.slow),
]
LAST = "bert.encoder.layer.1."


@pytest.fixture(autouse=True)
def eager(graph_mode):
    """Cells are interpreted: compiling each of them twice would take minutes."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=ms.GRAPH_MODE)


class AllRows(nn.Cell):
    """A classifier that computes every row of its last layer, whatever it is asked for."""

    def __init__(self, network):
        super().__init__(auto_prefix=False)
        self.network, self.asked = network, []

    def construct(self, input_ids, token_type_ids, attention_mask, logits_only=False):
        self.asked.append(logits_only)
        return self.network(input_ids, token_type_ids, attention_mask)


def device(request, kernels):
    parts = kernel_parts(request.getfixturevalue("library")) if kernels else {}
    return DeviceSetup("CPU", "float32", "float32", **parts)


def classifier(config, setup, seed=0):
    """A BertClassifier with random weights, its ranges calibrated, without dropout."""
    network = BertClassifier(config, layers_for(config, setup))
    load_strict(network, align_ranges(tiny.random_arrays(config, seed), network), "tiny")
    bind_ranges(network, 0.9)
    network.set_train(False)
    with calibration_mode(network):
        AllRows(network)(*batch(config))
    return network


def batch(config, seed=0):
    return tuple(map(ms.Tensor, tiny.token_batch(config, rows=5, length=9, seed=seed)))


@pytest.mark.parametrize("changes, kernels", CASES)
def test_logits_and_gradients(changes, kernels, request):
    config = tiny.TINY.replace(**changes)
    network, columns = classifier(config, device(request, kernels)), batch(config)
    logits = [LogitsCell(cell)(*columns).asnumpy() for cell in (AllRows(network), network)]
    assert np.abs(logits[0]).max() > 0.3
    np.testing.assert_allclose(logits[1], logits[0], atol=2e-6)
    parameters, found = network.trainable_params(), []
    rows = (ms.Tensor(np.arange(5, dtype=np.int32) % 2), ms.Tensor(np.ones(5, np.float32)))
    for cell in (AllRows(network), network):
        step = DistillNetwork(cell, label_terms("classification"))
        step.set_train(False)
        found.append(ms.value_and_grad(step, None, parameters, has_aux=True)(*columns, *rows)[1])
    for parameter, whole, cls_only in zip(parameters, *found, strict=True):
        np.testing.assert_allclose(cls_only.asnumpy(), whole.asnumpy(), atol=2e-6, err_msg=parameter.name)


@pytest.mark.slow
def test_weights_after_ten_steps(request):
    """Phase 2 without dropout: the weights of both ways are apart by rounding alone."""
    config, setup, found = tiny.TINY, device(request, True), []
    labels = ms.Tensor(np.arange(5, dtype=np.int32) % 2), ms.Tensor(np.ones(5, np.float32))
    teacher = freeze(classifier(tiny.TINY, setup, seed=1))
    start = {name: value.asnumpy() for name, value in named_parameters(classifier(config, setup)).items()}
    for wrap in (AllRows, lambda cell: cell):
        student = classifier(config, setup)
        terms = prediction_terms("classification")
        network = DistillNetwork(wrap(student), terms, wrap(teacher))
        step = train_step(network, np.full(10, 1e-3, np.float32), TrainConfig(), setup, 1, Ranks())
        for number in range(10):
            step(*batch(config, number), *labels)
        found.append(named_parameters(student))
    for name, value in found[0].items():
        whole, cls_only = value.asnumpy(), found[1][name].asnumpy()
        if name.endswith("weight"):
            assert np.abs(whole - start[name]).max() > 3e-3, name
        np.testing.assert_allclose(cls_only, whole, atol=3e-5, err_msg=name)


@pytest.mark.parametrize("kernels", [False, True], ids=["plain", "kernels"])
def test_shapes_of_the_last_layer(kernels, request):
    network = classifier(tiny.TINY, device(request, kernels))
    _, states, scores = network(*batch(tiny.TINY), True)
    assert [state.shape for state in states] == [(45, 32), (45, 32), (5, 32)]
    assert [score.shape for score in scores] == [(5, 4, 9, 9), (5, 4, 1, 9)]


def test_heads_on_each_token_have_all_rows():
    config = tiny.TINY.replace(output_mode="token_classification", labels=("O", "B-LOC", "I-LOC"))
    network = classifier(config, DeviceSetup("CPU", "float32", "float32"))
    logits, states, _ = network(*batch(config), True)
    assert logits.shape == (5, 9, 3) and states[-1].shape == (45, 32)


@pytest.mark.parametrize(
    "terms, logits_only",
    [(prediction_terms("classification", 0.5), True), (intermediate_terms(0, 0, 1), False)],
    ids=["phase 2", "phase 1"],
)
def test_who_asks_for_logits_alone(terms, logits_only):
    setup = DeviceSetup("CPU", "float32", "float32")
    student, teacher = (AllRows(classifier(tiny.TINY, setup)) for _ in range(2))
    columns = (*batch(tiny.TINY), ms.Tensor(np.zeros(5, np.int32)), ms.Tensor(np.ones(5, np.float32)))
    DistillNetwork(student, terms, teacher, (1, 2)).set_train(False)(*columns)
    TeacherForward(teacher, [term.feature for term in terms], (1, 2)).set_train(False)(*columns[:3])
    assert student.asked == [logits_only] and teacher.asked == [logits_only] * 2


def test_ranges_are_those_of_the_rows_that_are_computed():
    """Keys and values of the last layer see every row, its other layers [CLS] alone, as in the ONNX file."""
    config = tiny.TINY.replace(quantization=INT8)
    network = BertClassifier(config, layers_for(config, DeviceSetup("CPU", "float32", "float32")))
    load_strict(network, align_ranges(tiny.random_arrays(config), network), "tiny")
    bind_ranges(network, 0.9)
    network.set_train(False)
    with calibration_mode(network):
        LogitsCell(network)(*batch(config))
    ranges = {name: value.asnumpy().item() for name, value in named_parameters(network).items()
              if name.endswith(RANGE)}  # fmt: skip
    state = network(*batch(config))[1][1].asnumpy().reshape(5, 9, -1)
    largest = np.abs(state).max(), np.abs(state[:, 0]).max()
    assert largest[0] > 1.05 * largest[1]
    for name, rows in (("key", 0), ("value", 0), ("query", 1)):
        found = ranges[f"{LAST}attention.self.{name}.{RANGE}"]
        assert found == pytest.approx(largest[rows], rel=1e-6), name
    top = np.abs(network(*batch(config))[1][2].asnumpy().reshape(5, 9, -1)[:, 0]).max()
    assert ranges[f"bert.pooler.dense.{RANGE}"] == pytest.approx(top, rel=1e-5)
