"""TinyBERT's losses against sums written out in NumPy, one value a row."""

import mindspore as ms
import numpy as np
import pytest

from src.distill.losses import (
    attention_mse,
    binary_cross_entropy,
    hidden_mse,
    label_cross_entropy,
    mse_loss,
    soft_binary_cross_entropy,
    soft_cross_entropy,
)

pytestmark = pytest.mark.usefixtures("graph_mode")
B, S, H, N, C = 3, 6, 5, 2, 4
LENGTHS = (6, 4, 2)
MASK = (np.arange(S) < np.array(LENGTHS)[:, None]).astype(np.float32)
DRAW = np.random.default_rng(0)


def normal(*shape):
    return DRAW.standard_normal(shape).astype(np.float32)


def value(loss, *arrays):
    return loss(*(ms.Tensor(array) for array in arrays)).asnumpy()


def test_hidden_states_over_real_tokens():
    student, teacher = normal(B * S, H), normal(B * S, H)
    difference = (student - teacher).reshape(B, S, H)
    expected = [(difference[b, :n] ** 2).mean() for b, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(value(hidden_mse, student, teacher, MASK), expected, rtol=1e-5)
    garbage = np.where(MASK.reshape(-1, 1) > 0, student, 1e4).astype(np.float32)
    np.testing.assert_allclose(value(hidden_mse, garbage, teacher, MASK), expected, rtol=1e-5)
    everywhere = [(difference[b] ** 2).mean() for b in range(B)]
    np.testing.assert_allclose(value(hidden_mse, student, teacher, np.ones_like(MASK)), everywhere, rtol=1e-5)


def test_attention_scores_over_real_pairs():
    student, teacher = normal(B, N, S, S), normal(B, N, S, S)
    difference = student - teacher
    expected = [(difference[b, :, :n, :n] ** 2).mean() for b, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(value(attention_mse, student, teacher, MASK), expected, rtol=1e-5)
    real = (MASK[:, None, :, None] * MASK[:, None, None, :]) > 0
    garbage = np.where(real, student, 1e4).astype(np.float32)
    np.testing.assert_allclose(value(attention_mse, garbage, teacher, MASK), expected, rtol=1e-5)


def log_softmax(x):
    x = x.astype(np.float64)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_soft_cross_entropy_sums_over_classes():
    student, teacher = normal(B, C), normal(B, C)
    expected = -(np.exp(log_softmax(teacher)) * log_softmax(student)).sum(-1)
    np.testing.assert_allclose(value(soft_cross_entropy, student, teacher, MASK), expected, rtol=1e-5)
    # Of equal logits it is the entropy, not zero; and it is least there.
    same = value(soft_cross_entropy, teacher, teacher, MASK)
    assert (same > 0).all() and (same < expected).all()
    assert np.isfinite(value(soft_cross_entropy, student * 1e4, teacher * 1e4, MASK)).all()


def test_cross_entropy_to_labels():
    logits, labels = normal(B, C), np.array([3, 0, 2], np.int32)
    expected = -log_softmax(logits)[np.arange(B), labels]
    np.testing.assert_allclose(value(label_cross_entropy, logits, labels, MASK), expected, rtol=1e-5)


def test_scores():
    scores, targets = normal(B, 1), normal(B)
    expected = (scores[:, 0] - targets) ** 2
    for form in (targets, targets[:, None]):
        np.testing.assert_allclose(value(mse_loss, scores, form, MASK), expected, rtol=1e-5)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def cross_entropy_of_marks(logits, targets):
    yes = sigmoid(logits)
    return -(targets * np.log(yes) + (1 - targets) * np.log(1 - yes)).mean(-1)


def test_several_labels():
    logits, marks = normal(B, C), np.array([[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], np.float32)
    expected = cross_entropy_of_marks(logits, marks)
    np.testing.assert_allclose(value(binary_cross_entropy, logits, marks, MASK), expected, rtol=1e-5)
    # Sure and wrong costs what it should, sure and right nothing, neither infinity.
    sure = np.array([[1e4, -1e4, -1e4, -1e4]] * 3, np.float32)
    right = np.array([[1, 0, 0, 0]] * 3, np.float32)
    np.testing.assert_allclose(value(binary_cross_entropy, sure, right, MASK), 0, atol=1e-6)
    np.testing.assert_allclose(value(binary_cross_entropy, sure, 1 - right, MASK), 1e4, rtol=1e-6)


def test_several_labels_of_a_teacher():
    student, teacher = normal(B, C), normal(B, C)
    expected = cross_entropy_of_marks(student, sigmoid(teacher))
    np.testing.assert_allclose(value(soft_binary_cross_entropy, student, teacher, MASK), expected, rtol=1e-5)
    same = value(soft_binary_cross_entropy, teacher, teacher, MASK)
    assert (same > 0).all() and (same < expected).all()


@pytest.mark.reference
def test_several_labels_are_transformers_loss():
    torch = pytest.importorskip("torch")
    logits, marks = normal(B, C), np.array([[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], np.float32)
    theirs = torch.nn.BCEWithLogitsLoss()(torch.tensor(logits), torch.tensor(marks)).item()
    assert value(binary_cross_entropy, logits, marks, MASK).mean() == pytest.approx(theirs, rel=1e-6)
