"""The network of student, teacher and objective, over cells whose outputs are given and are the parameters.

So each gradient is that of the loss by an output, and NumPy knows it.
"""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from src.distill.network import DistillNetwork
from src.distill.objective import intermediate_terms, label_terms, logits_temperature, prediction_terms
from src.errors import UserError

pytestmark = pytest.mark.usefixtures("graph_mode")
B, S, N, C = 3, 4, 2, 3
WIDTH, WIDE = 6, 10
LENGTHS = (4, 3, 2)
MASK = (np.arange(S) < np.array(LENGTHS)[:, None]).astype(np.int32)
IDS = np.ones((B, S), np.int32)
LABELS = np.array([2, 0, 1], np.int32)
WEIGHTS = np.array([1, 1, 0], np.float32)


class Given(nn.Cell):
    """A model that answers every batch with its own parameters: logits, states and scores of `layers`."""

    def __init__(self, layers, width, outputs, seed):
        super().__init__()
        draw = np.random.default_rng(seed)

        def parameter(name, *shape):
            return Parameter(Tensor(draw.standard_normal(shape).astype(np.float32)), name=name)

        self.logits = parameter("logits", B, outputs)
        states = [parameter(f"state{m}", B * S, width) for m in range(layers + 1)]
        self.states = ms.ParameterTuple(states)
        self.scores = ms.ParameterTuple([parameter(f"score{m}", B, N, S, S) for m in range(layers)])

    def construct(self, input_ids, token_type_ids, attention_mask, logits_only=False):
        # A product of one: the graph needs an operation, not the parameter itself.
        return (
            self.logits * 1.0,
            tuple([state * 1.0 for state in self.states]),
            tuple([score * 1.0 for score in self.scores]),
        )


class Projection(nn.Cell):
    """x W^T, as src.model's dense layer without its bias."""

    def __init__(self, seed=9):
        super().__init__()
        weight = np.random.default_rng(seed).standard_normal((WIDE, WIDTH)).astype(np.float32)
        self.weight = Parameter(Tensor(weight), name="weight")

    def construct(self, x):
        return ms.ops.matmul(x, self.weight.T)


def run(network, labels=LABELS, weights=WEIGHTS):
    """(loss, parts, {parameter name without prefix: gradient}) on the batch."""
    averaging_to_one = weights * np.float32(B / weights.sum())
    batch = tuple(Tensor(column) for column in (IDS, IDS * 0, MASK, labels, averaging_to_one))
    parameters = network.trainable_params()
    function = ms.value_and_grad(network, None, parameters, has_aux=True)
    (loss, parts), gradients = function(*batch)
    named = {
        parameter.name: gradient.asnumpy() for parameter, gradient in zip(parameters, gradients, strict=True)
    }
    return float(loss.asnumpy()), parts.asnumpy(), named


def arrays(cell):
    """logits, states [L+1][B, S, H], scores of a Given."""
    return (
        cell.logits.asnumpy(),
        [state.asnumpy().reshape(B, S, -1) for state in cell.states],
        [score.asnumpy() for score in cell.scores],
    )


def over_rows(by_row, weights=WEIGHTS):
    return (np.array(by_row) * weights).sum() / weights.sum()


def hidden_part(ours, theirs, lengths=LENGTHS):
    return over_rows([((ours[b, :n] - theirs[b, :n]) ** 2).mean() for b, n in enumerate(lengths)])


def attention_part(ours, theirs, lengths=LENGTHS):
    return over_rows(
        [((ours[b, :, :n, :n] - theirs[b, :, :n, :n]) ** 2).mean() for b, n in enumerate(lengths)]
    )


def gradient_of(gradients, name):
    return next(gradient for full, gradient in gradients.items() if full.split(".")[-1] == name)


@pytest.fixture
def student():
    return Given(2, WIDTH, C, seed=1)


@pytest.fixture
def teacher():
    cell = Given(6, WIDTH, C, seed=2)
    for parameter in cell.get_parameters():
        parameter.requires_grad = False
    return cell


@pytest.mark.parametrize("layer_map", [(3, 6), (1, 4)], ids=["uniform", "explicit"])
def test_intermediate_layers(student, teacher, layer_map):
    loss, parts, gradients = run(
        DistillNetwork(student, intermediate_terms(1.0, 2.0, 0.5), teacher, layer_map)
    )
    _, ours, our_scores = arrays(student)
    _, theirs, their_scores = arrays(teacher)
    expected = [
        hidden_part(ours[0], theirs[0]),
        sum(hidden_part(ours[m + 1], theirs[layer]) for m, layer in enumerate(layer_map)),
        sum(attention_part(our_scores[m], their_scores[layer - 1]) for m, layer in enumerate(layer_map)),
    ]
    np.testing.assert_allclose(parts, expected, rtol=1e-5)
    np.testing.assert_allclose(loss, expected[0] + 2 * expected[1] + 0.5 * expected[2], rtol=1e-5)
    # d/dx of the weighted mean over the real positions of row 1: 2 (x - t) / (n H) / (rows that count).
    state = gradient_of(gradients, "state2").reshape(B, S, WIDTH)
    difference = ours[2] - theirs[layer_map[1]]
    np.testing.assert_allclose(state[1, :3], 2.0 * 2 * difference[1, :3] / (3 * WIDTH) / 2, rtol=1e-4)
    # Padding and rows of weight 0 get none; nor does the head, nor anything of the teacher.
    assert not state[1, 3:].any() and not state[2].any()
    assert not gradient_of(gradients, "score1")[1, :, :, 3].any()
    assert not gradient_of(gradients, "logits").any()
    assert not any("teacher" in name for name in gradients)


def test_garbage_in_the_padding_and_in_rows_of_weight_0(student, teacher):
    network = DistillNetwork(student, intermediate_terms(1.0, 1.0, 1.0), teacher, (3, 6))
    before = run(network)
    real = (MASK * WEIGHTS[:, None]).reshape(-1, 1) > 0
    for cell, filler in ((student, 1e3), (teacher, -1e3)):
        for state in cell.states:
            state.set_data(Tensor(np.where(real, state.asnumpy(), filler).astype(np.float32)))
        pairs = (MASK * WEIGHTS[:, None])[:, None, :, None] * MASK[:, None, None, :] > 0
        for score in cell.scores:
            score.set_data(Tensor(np.where(pairs, score.asnumpy(), filler).astype(np.float32)))
    after = run(network)
    np.testing.assert_allclose(after[0], before[0], rtol=1e-6)
    np.testing.assert_allclose(after[1], before[1], rtol=1e-6)
    for name, gradient in before[2].items():
        np.testing.assert_allclose(after[2][name], gradient, rtol=1e-5, atol=1e-8, err_msg=name)


def test_include_padding(student, teacher):
    rows = intermediate_terms(1.0, 1.0, 1.0)
    _, parts, _ = run(DistillNetwork(student, rows, teacher, (3, 6), include_padding=True))
    ours, theirs = arrays(student), arrays(teacher)
    whole = (S,) * B
    assert parts[0] == pytest.approx(hidden_part(ours[1][0], theirs[1][0], whole), rel=1e-5)
    # As in the original code, the scores of padded keys are zero.
    keys = (np.arange(S) < np.array(LENGTHS)[:, None]).reshape(B, 1, 1, S)
    pairs = (ours[2][0], theirs[2][2]), (ours[2][1], theirs[2][5])
    expected = sum(attention_part(one * keys, other * keys, whole) for one, other in pairs)
    assert parts[2] == pytest.approx(expected, rel=1e-5)


def test_the_projection_to_the_teacher_s_width(student):
    teacher, projection = Given(2, WIDE, C, seed=2), Projection()
    rows = intermediate_terms(1.0, 1.0, 0.0)
    loss, parts, gradients = run(DistillNetwork(student, rows, teacher, (1, 2), projection))
    weight, ours, theirs = projection.weight.asnumpy(), arrays(student)[1], arrays(teacher)[1]
    expected = [hidden_part(ours[m] @ weight.T, theirs[m]) for m in range(3)]
    np.testing.assert_allclose(parts, [expected[0], expected[1] + expected[2]], rtol=1e-4)
    assert gradient_of(gradients, "weight").any() and loss == pytest.approx(sum(expected), rel=1e-4)


def test_a_projection_for_each_layer(student):
    """The hidden states of layer m (0: the embedding output) pass through matrix m alone."""
    teacher, cells = Given(2, WIDE, C, seed=2), [Projection(seed) for seed in (4, 5, 6)]
    network = DistillNetwork(student, intermediate_terms(1.0, 1.0, 0.0), teacher, (1, 2), nn.CellList(cells))
    loss, parts, gradients = run(network)
    ours, theirs = arrays(student)[1], arrays(teacher)[1]
    weights = [cell.weight.asnumpy() for cell in cells]
    expected = [hidden_part(ours[m] @ weights[m].T, theirs[m]) for m in range(3)]
    np.testing.assert_allclose(parts, [expected[0], expected[1] + expected[2]], rtol=1e-4)
    for m in range(3):
        slope = np.zeros((WIDE, WIDTH))
        for b in range(2):  # the rows that count
            n = LENGTHS[b]
            difference = ours[m][b, :n] @ weights[m].T - theirs[m][b, :n]
            slope += 2 * difference.T @ ours[m][b, :n] / (n * WIDE) / 2
        np.testing.assert_allclose(gradients[f"hidden_projection.{m}.weight"], slope, rtol=1e-4, atol=1e-6)


def softmax(x):
    e = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_cross_entropy_with_temperature(student, teacher, temperature):
    network = DistillNetwork(student, prediction_terms("classification"), teacher, temperature=temperature)
    loss, parts, gradients = run(network)
    target = teacher.logits.asnumpy() / temperature
    ours = student.logits.asnumpy() / temperature
    expected = over_rows(-(softmax(target) * np.log(softmax(ours))).sum(-1))
    assert loss == pytest.approx(expected, rel=1e-5) and parts.tolist() == pytest.approx([expected], rel=1e-5)
    slope = (softmax(ours) - softmax(target)) / temperature * WEIGHTS[:, None] / WEIGHTS.sum()
    np.testing.assert_allclose(gradient_of(gradients, "logits"), slope, atol=1e-6)


def test_a_regression_has_no_temperature():
    """Scores of teacher and label are in one unit: dividing one of the two errors would weight them."""
    student, teacher = (Given(1, WIDTH, 1, seed) for seed in (1, 2))
    temperature = logits_temperature("regression", 4.0)
    terms = prediction_terms("regression", 0.5)
    loss, parts, _ = run(DistillNetwork(student, terms, teacher, temperature=temperature))
    errors = (student.logits - teacher.logits).asnumpy()[:, 0], student.logits.asnumpy()[:, 0] - LABELS
    expected = [over_rows(error.astype(np.float64) ** 2) for error in errors]
    assert parts.tolist() == pytest.approx(expected, rel=1e-5)
    assert logits_temperature("classification", 4.0) == 4.0


def test_the_label_beside_the_teacher(student, teacher):
    loss, parts, _ = run(DistillNetwork(student, prediction_terms("classification", 0.3), teacher))
    labeled = over_rows(-np.log(softmax(student.logits.asnumpy()))[np.arange(B), LABELS])
    assert parts[1] == pytest.approx(labeled, rel=1e-5)
    assert loss == pytest.approx(parts[0] + 0.3 * parts[1], rel=1e-5)


UNLABELED = {
    "classification": (C, np.array([2, -100, 1], np.int32)),
    "regression": (1, np.array([4.5, np.nan, 2.0], np.float32)),
    "multi_label": (C, np.array([[1, 0, 1], [np.nan] * 3, [0, 0, 1]], np.float32)),
}


def label_losses(mode, logits, labels):
    """The label loss of each row, 0 without a label."""
    if mode == "regression":
        by_row = (logits[:, 0] - labels) ** 2
    elif mode == "multi_label":
        p = 1 / (1 + np.exp(-logits))
        by_row = -(labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean(-1)
    else:
        by_row = -np.log(softmax(logits))[np.arange(len(labels)), np.maximum(labels, 0)]
    return np.array(by_row) * [1, 0, 1] if mode == "classification" else np.nan_to_num(by_row)


@pytest.mark.parametrize("weights", [WEIGHTS, np.ones(B, np.float32)], ids=["filler row", "full"])
@pytest.mark.parametrize("mode", UNLABELED)
def test_rows_without_a_label_beside_the_teacher(mode, weights):
    """Of all training rows 2 / 5 have a label: each of them weighs 5 / 2 in the label term, whatever its
    batch; the others count for the teacher's term only."""
    outputs, labels = UNLABELED[mode]
    student, teacher = Given(1, WIDTH, outputs, seed=1), Given(1, WIDTH, outputs, seed=2)
    terms = prediction_terms(mode, 0.3, labeled_share=0.4)
    loss, parts, gradients = run(DistillNetwork(student, terms, teacher), labels, weights)
    logits = student.logits.asnumpy().astype(np.float64)
    expected = over_rows(label_losses(mode, logits, labels) / 0.4, weights)
    alone, without, slope = run(DistillNetwork(student, prediction_terms(mode), teacher), labels, weights)
    assert parts == pytest.approx([without[0], expected], rel=1e-5)
    assert loss == pytest.approx(alone + 0.3 * expected, rel=1e-5)
    # The row without a label learns from the teacher alone.
    np.testing.assert_allclose(
        gradient_of(gradients, "logits")[1], gradient_of(slope, "logits")[1], atol=1e-7
    )
    assert np.abs(gradient_of(gradients, "logits") - gradient_of(slope, "logits"))[0].max() > 1e-3


def test_the_label_term_over_ranks_is_the_mean_over_the_labeled_rows(student):
    """Two ranks, one with two labels and one with one, over 6 rows of which 3 have a label."""
    network = DistillNetwork(student, label_terms("classification", labeled_share=0.5))
    by_rank = [np.array([2, -100, 1], np.int32), np.array([-100, 0, -100], np.int32)]
    losses = [run(network, labels, np.ones(B, np.float32))[0] for labels in by_rank]
    log_p = -np.log(softmax(student.logits.asnumpy()))
    assert np.mean(losses) == pytest.approx(np.mean([log_p[0, 2], log_p[2, 1], log_p[1, 0]]), rel=1e-5)


def test_no_label_at_all():
    for terms in (lambda: label_terms("classification", labeled_share=0.0),
                  lambda: prediction_terms("regression", fit_labels=True, labeled_share=0.0)):  # fmt: skip
        with pytest.raises(UserError, match="no training row has a label, which --label_weight"):
            terms()
    assert [term.feature for term in prediction_terms("classification", labeled_share=0.0)] == ["logits"]


def test_labels_alone_need_no_teacher(student):
    network = DistillNetwork(student, label_terms("classification"))
    assert not network.has_teacher
    loss, _, gradients = run(network)
    slope = (softmax(student.logits.asnumpy()) - np.eye(C)[LABELS]) * WEIGHTS[:, None] / 2
    np.testing.assert_allclose(gradient_of(gradients, "logits"), slope, atol=1e-6)
    assert loss == pytest.approx(over_rows(-np.log(softmax(student.logits.asnumpy()))[np.arange(B), LABELS]))


@pytest.mark.parametrize("target", ["teacher", "label"])
def test_regression(target):
    student, teacher = Given(1, WIDTH, 1, seed=1), Given(1, WIDTH, 1, seed=2)
    scores = np.array([4.5, 1.0, 2.0], np.float32)
    network = DistillNetwork(student, prediction_terms("regression", fit_labels=target == "label"), teacher)
    assert network.has_teacher == (target == "teacher")
    loss, _, _ = run(network, scores)
    aim = scores if target == "label" else teacher.logits.asnumpy()[:, 0]
    assert loss == pytest.approx(over_rows((student.logits.asnumpy()[:, 0] - aim) ** 2), rel=1e-5)


def test_a_batch_without_odd_tail_is_a_plain_mean(student):
    loss, _, _ = run(DistillNetwork(student, label_terms("classification")), weights=np.ones(B, np.float32))
    assert loss == pytest.approx(
        np.mean(-np.log(softmax(student.logits.asnumpy()))[np.arange(B), LABELS]), rel=1e-5
    )
