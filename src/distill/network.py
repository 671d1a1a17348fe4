"""The network that holds student, teacher and objective, for the one train-step cell.

Shape letters: B batch, S length, H hidden, N heads, C labels, P rows of the objective.
"""

import mindspore as ms
from mindspore import nn, ops

TEACHER_FEATURES = ("embedding", "hidden", "attention", "logits")


class DistillNetwork(nn.Cell):
    """A batch -> its loss and the parts of it.

    Parameters: `rows` the objective; `teacher` and `layer_map` (teacher layer of each student layer, from 1)
    where a row asks for them; `projection` the dense layer from the student's to the teacher's width (W_h
    and W_e of the paper, one matrix as in the original code), None where the widths agree; `temperature` T
    divides the logits of both sides; `include_padding` counts padded positions.
    Construct: input_ids, token_type_ids, attention_mask [B, S] int32, labels [B], weights [B] float32 (0 for
    the fill of an odd tail; they average to 1 over the ranks) -> loss (scalar), parts [P] (unweighted).
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
        self.taught = any(feature in TEACHER_FEATURES for feature in self.features)
        self.teacher = teacher if self.taught else nn.Identity()
        self.layer_map = tuple(layer_map)
        self.projected = projection is not None
        self.hidden_projection = projection if self.projected else nn.Identity()
        self.inverse_temperature = 1.0 / temperature
        self.include_padding = include_padding

    def construct(self, input_ids, token_type_ids, attention_mask, labels, weights):
        student = self.student(input_ids, token_type_ids, attention_mask)
        teacher = student
        if self.taught:
            teacher = self.teacher(input_ids, token_type_ids, attention_mask)
        mask = attention_mask.astype(ms.float32)
        if self.include_padding:
            mask = ops.ones_like(mask)
        loss = ms.Tensor(0.0, ms.float32)
        parts = ()
        for i in range(len(self.features)):
            by_row = ops.zeros_like(weights)
            for pair in self._pairs(self.features[i], student, teacher, labels):
                by_row = by_row + self.losses[i](pair[0], pair[1], mask)
            part = (by_row * weights).mean()
            loss = loss + part * self.row_weights[i]
            parts = parts + (ops.stop_gradient(part),)
        return loss, ops.stack(parts)

    def _pairs(self, feature, student, teacher, labels):
        # The tensors that a row compares: ((student, target), ...)
        logits, states, scores = student
        if feature == "labels":
            return ((logits, labels),)
        teacher_logits, teacher_states, teacher_scores = teacher
        if feature == "logits":
            target = ops.stop_gradient(teacher_logits * self.inverse_temperature)
            return ((logits * self.inverse_temperature, target),)
        if feature == "embedding":
            return ((self._fit(states[0]), ops.stop_gradient(teacher_states[0].astype(ms.float32))),)
        pairs = ()
        for m in range(len(self.layer_map)):
            layer = self.layer_map[m]
            if feature == "hidden":
                target = ops.stop_gradient(teacher_states[layer].astype(ms.float32))
                pairs = pairs + ((self._fit(states[m + 1]), target),)
            else:
                pairs = pairs + ((scores[m], ops.stop_gradient(teacher_scores[layer - 1])),)
        return pairs

    def _fit(self, states):
        # [B*S, H student] -> [B*S, H teacher]; the losses compare in float32
        if self.projected:
            states = self.hidden_projection(states)
        return states.astype(ms.float32)
