"""The network that holds student, teacher and objective, for the one train-step cell.

Shape letters: B batch, S length, H hidden, N heads, C labels, P rows of the objective.
"""

import mindspore as ms
from mindspore import nn, ops

from ..tasks import IGNORE_INDEX

TEACHER_FEATURES = ("embedding", "hidden", "attention", "logits")


class TeacherOutputs(nn.Cell):
    """Of a teacher's outputs those that `features` ask for, in the order of TEACHER_FEATURES.

    Construct: logits, hidden_states, attention_scores -> states [B*S, H] (the embedding output, then the
    layers of the map) and scores [B, N, S, S] of the given type, logits as they are; no gradient goes
    through.
    """

    def __init__(self, features, layer_map, number_type=ms.float32):
        super().__init__()
        self.features = tuple(feature for feature in TEACHER_FEATURES if feature in features)
        self.layer_map, self.number_type = tuple(layer_map), number_type

    def construct(self, logits, hidden_states, attention_scores):
        answers = ()
        for feature in self.features:
            if feature == "embedding":
                answers = answers + (self._kept(hidden_states[0]),)
            elif feature == "logits":
                answers = answers + (ops.stop_gradient(logits),)
            else:
                for layer in self.layer_map:
                    of_layer = hidden_states[layer] if feature == "hidden" else attention_scores[layer - 1]
                    answers = answers + (self._kept(of_layer),)
        return answers

    def _kept(self, tensor):
        return ops.stop_gradient(tensor.astype(self.number_type))


class DistillNetwork(nn.Cell):
    """A batch -> its loss and the parts of it.

    Parameters: `rows` the objective; `teacher` and `layer_map` (teacher layer of each student layer, from 1)
    where a row asks for them; `projection` the dense layer from the student's to the teacher's width (W_h
    and W_e of the paper, one matrix as in the original code), None where the widths agree; `temperature` T
    divides the logits of both sides; `include_padding` counts padded positions.
    Construct: input_ids, token_type_ids, attention_mask [B, S] int32, labels [B] ([B, C], or [B, S] for each
    token), weights [B] float32 (0 for the fill of an odd tail; they average to 1 over the ranks) -> loss
    (scalar), parts [P] (unweighted). Losses on logits of tokens are told which of these have a label.
    Where a row asks for a teacher and there is none in here, a batch brings its answers along: further
    columns, as of TeacherOutputs.
    """

    def __init__(
        self,
        student,
        rows,
        teacher=None,
        layer_map=(),
        projection=None,
        temperature=1.0,
        include_padding=False,
    ):
        super().__init__()
        self.student = student
        self.features = tuple(row.feature for row in rows)
        self.losses = tuple(row.loss for row in rows)
        self.row_weights = tuple(float(row.weight) for row in rows)
        self.layer_map = tuple(layer_map)
        self.places = feature_offsets(self.features, len(self.layer_map))
        self.has_teacher = teacher is not None and any(
            feature in TEACHER_FEATURES for feature in self.features
        )
        self.teacher = teacher if self.has_teacher else nn.Identity()
        self.answers = TeacherOutputs(self.features, self.layer_map) if self.has_teacher else nn.Identity()
        self.projected = projection is not None
        self.hidden_projection = projection if self.projected else nn.Identity()
        self.inverse_temperature = 1.0 / temperature
        self.include_padding = include_padding

    def construct(self, input_ids, token_type_ids, attention_mask, labels, weights, *answers):
        student = self.student(input_ids, token_type_ids, attention_mask)
        if self.has_teacher:
            answers = self.answers(*self.teacher(input_ids, token_type_ids, attention_mask))
        mask = attention_mask.astype(ms.float32)
        if self.include_padding:
            mask = ops.ones_like(mask)
        label_mask = mask
        if student[0].ndim == 3:
            label_mask = (labels != IGNORE_INDEX).astype(ms.float32)
        loss = ms.Tensor(0.0, ms.float32)
        parts = ()
        for i in range(len(self.features)):
            by_row = ops.zeros_like(weights)
            real = label_mask if self.features[i] in ("logits", "labels") else mask
            for pair in self._pairs(i, student, answers, labels):
                by_row = by_row + self.losses[i](pair[0], pair[1], real)
            part = (by_row * weights).mean()
            loss = loss + part * self.row_weights[i]
            parts = parts + (ops.stop_gradient(part),)
        return loss, ops.stack(parts)

    def _pairs(self, i, student, answers, labels):
        # The tensors that row i compares: ((student, target), ...)
        feature, first = self.features[i], self.places[i]
        logits, states, scores = student
        if feature == "labels":
            return ((logits, labels),)
        if feature == "logits":
            return ((logits * self.inverse_temperature, answers[first] * self.inverse_temperature),)
        if feature == "embedding":
            return ((self._fit(states[0]), answers[first].astype(ms.float32)),)
        pairs = ()
        for m in range(len(self.layer_map)):
            target = answers[first + m].astype(ms.float32)
            ours = self._fit(states[m + 1]) if feature == "hidden" else scores[m]
            pairs = pairs + ((ours, target),)
        return pairs

    def _fit(self, states):
        # [B*S, H student] -> [B*S, H teacher]; the losses compare in float32
        if self.projected:
            states = self.hidden_projection(states)
        return states.astype(ms.float32)


def feature_offsets(features, layers):
    """For each feature of an objective the place of its first tensor among TeacherOutputs' (0 for labels)."""
    counts = {"embedding": 1, "hidden": layers, "attention": layers, "logits": 1}
    places, next_place = {}, 0
    for feature in TEACHER_FEATURES:
        if feature in features:
            places[feature] = next_place
            next_place += counts[feature]
    return tuple(places.get(feature, 0) for feature in features)
