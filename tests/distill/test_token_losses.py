"""Losses on the logits of tokens against sums written out in NumPy, alone and in the network of a stage."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from src.distill.losses import token_cross_entropy, token_soft_cross_entropy
from src.distill.network import DistillNetwork
from src.distill.objective import label_terms, prediction_terms
from src.tasks import IGNORE_INDEX

pytestmark = pytest.mark.usefixtures("graph_mode")
B, S, C, T = 3, 5, 4, 2.0
_ = IGNORE_INDEX
# [CLS], a word of two pieces, [SEP], padding; the last row only fills its batch.
LABELS = np.array([[_, 1, _, 0, _], [_, 3, _, _, _], [_, 2, 2, 2, _]], np.int32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
COUNTED = LABELS != IGNORE_INDEX
DRAW = np.random.default_rng(0)
STUDENT, TEACHER = (DRAW.standard_normal((B, S, C)).astype(np.float32) for _side in "st")


def log_softmax(x):
    x = x.astype(np.float64)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def soft(student, teacher):
    """[B] by hand."""
    by_token = -(np.exp(log_softmax(teacher)) * log_softmax(student)).sum(-1)
    return np.array([by_token[row][COUNTED[row]].mean() for row in range(B)])


def to_labels(student):
    """[B] by hand."""
    log_p = log_softmax(student)
    return np.array(
        [np.mean([-log_p[row, s, LABELS[row, s]] for s in np.flatnonzero(COUNTED[row])]) for row in range(B)]
    )


def value(loss, *arrays):
    return loss(*(Tensor(array) for array in arrays)).asnumpy()


def test_each_row_is_the_mean_of_its_counted_tokens():
    counted = COUNTED.astype(np.float32)
    np.testing.assert_allclose(
        value(token_soft_cross_entropy, STUDENT, TEACHER, counted), soft(STUDENT, TEACHER), rtol=1e-5
    )
    np.testing.assert_allclose(
        value(token_cross_entropy, STUDENT, LABELS, counted), to_labels(STUDENT), rtol=1e-5
    )
    garbage = np.where(COUNTED[..., None], STUDENT, 1e4).astype(np.float32)
    for loss, target in ((token_soft_cross_entropy, TEACHER), (token_cross_entropy, LABELS)):
        np.testing.assert_array_equal(
            value(loss, garbage, target, counted), value(loss, STUDENT, target, counted)
        )
        assert value(loss, STUDENT, target, counted * 0).tolist() == [0, 0, 0]


class Given(nn.Cell):
    """A model whose logits are its parameter."""

    def __init__(self, logits):
        super().__init__()
        self.logits = Parameter(Tensor(logits), name="logits")

    def construct(self, input_ids, token_type_ids, attention_mask, logits_only=False):
        return self.logits * 1.0, (), ()


def test_in_the_network_padding_and_fill_get_no_gradient():
    rows = prediction_terms("token_classification", label_weight=0.5)
    student = Given(STUDENT)
    network = DistillNetwork(student, rows, Given(TEACHER), temperature=T)
    weights = np.array([1.5, 1.5, 0], np.float32)
    batch = tuple(Tensor(column) for column in (MASK, MASK * 0, MASK, LABELS, weights))
    function = ms.value_and_grad(network, None, student.trainable_params(), has_aux=True)
    (loss, parts), (gradient,) = function(*batch)
    expected = [(soft(STUDENT / T, TEACHER / T) * weights).mean(), (to_labels(STUDENT) * weights).mean()]
    np.testing.assert_allclose(parts.asnumpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(loss.asnumpy(), expected[0] + 0.5 * expected[1], rtol=1e-5)
    counted = COUNTED & (weights > 0)[:, None]
    assert ((gradient.asnumpy() != 0).any(-1) == counted).all()


def test_on_labels_alone():
    network = DistillNetwork(Given(STUDENT), label_terms("token_classification"))
    weights = np.ones(B, np.float32)
    loss, _parts = network(*(Tensor(column) for column in (MASK, MASK * 0, MASK, LABELS, weights)))
    np.testing.assert_allclose(loss.asnumpy(), to_labels(STUDENT).mean(), rtol=1e-5)
