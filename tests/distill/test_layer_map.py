"""Which teacher layer each student layer fits, and the maps that are refused."""

import pytest

from src.distill.layer_map import parse_layer_map
from src.distill.losses import attention_mse, hidden_mse, label_cross_entropy, mse_loss, soft_cross_entropy
from src.distill.objective import intermediate_terms, label_terms, prediction_terms
from src.errors import UserError


@pytest.mark.parametrize(
    "student, teacher, layers",
    [
        (4, 12, (3, 6, 9, 12)),
        (6, 12, (2, 4, 6, 8, 10, 12)),
        (3, 6, (2, 4, 6)),
        (1, 6, (6,)),
        (2, 2, (1, 2)),
        (5, 12, (2, 5, 7, 10, 12)),
        (4, 6, (2, 3, 5, 6)),
        (2, 5, (3, 5)),
    ],
)
def test_uniform(student, teacher, layers):
    assert parse_layer_map("uniform", student, teacher) == layers


def test_explicit():
    assert parse_layer_map("1,5", 2, 6) == (1, 5)
    assert parse_layer_map("2, 4,6", 3, 6) == (2, 4, 6)
    assert parse_layer_map("2,4,6,9,12", 5, 12) == (2, 4, 6, 9, 12)


@pytest.mark.parametrize(
    "text, student, teacher, complaint",
    [
        ("uniform", 4, 3, "4 layers, more than the teacher's 3"),
        ("2,4", 3, 6, "names 2 teacher layers; the student has 3"),
        ("2,4,7", 3, 6, "must rise and stay within the teacher's layers 1 to 6"),
        ("0,4,6", 3, 6, "must rise and stay"),
        ("4,2,6", 3, 6, "must rise and stay"),
        ("2,2,6", 3, 6, "must rise and stay"),
        ("2,x,6", 3, 6, "'2,x,6' is neither uniform nor a comma list"),
        ("", 3, 6, "is neither uniform nor a comma list"),
    ],
)
def test_refused(text, student, teacher, complaint):
    with pytest.raises(UserError, match=complaint):
        parse_layer_map(text, student, teacher)


def test_the_objective_of_phase_1():
    rows = intermediate_terms(1.0, 2.0, 0.5)
    assert [tuple(row) for row in rows] == [
        ("embedding", hidden_mse, 1.0),
        ("hidden", hidden_mse, 2.0),
        ("attention", attention_mse, 0.5),
    ]
    assert [row.feature for row in intermediate_terms(1.0, 1.0, 0.0)] == ["embedding", "hidden"]
    with pytest.raises(UserError, match="are all 0: no loss is left"):
        intermediate_terms(0.0, 0.0, 0.0)


def test_the_objective_of_phase_2():
    def names(rows):
        return [(row.feature, row.loss, row.weight) for row in rows]

    assert names(prediction_terms("classification")) == [("logits", soft_cross_entropy, 1.0)]
    assert names(prediction_terms("classification", 0.3)) == [
        ("logits", soft_cross_entropy, 1.0),
        ("labels", label_cross_entropy, 0.3),
    ]
    assert names(prediction_terms("regression")) == [("logits", mse_loss, 1.0)]
    assert names(prediction_terms("regression", fit_labels=True)) == [("labels", mse_loss, 1.0)]
    assert names(label_terms("classification")) == [("labels", label_cross_entropy, 1.0)]
