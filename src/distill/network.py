"""The network that holds student, teacher and objective, for the one train-step cell.

Shape letters: B batch, S length, H hidden, N heads, C labels, P terms of the objective.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from ..tasks import IGNORE_INDEX
from .relations import RELATIONS

if TYPE_CHECKING:
    from .objective import LossTerm

TEACHER_FEATURES = ("embedding", "hidden", "relation", "attention", "logits")
LOGITS_FEATURES = frozenset({"logits", "labels"})  # those that read nothing but a network's logits


class TeacherOutputs(nn.Cell):
    """Selects those of a teacher's outputs that `features` need, in the order of TEACHER_FEATURES.

    Construct: logits, hidden_states, attention_scores, and with `relation` the model's relation_states
    -> states [B*S, H] (the embedding output, the layers of the map, query, key and value) and scores
    [B, N, S, S] of the given type, logits unchanged; all without gradient.
    """

    def __init__(self, features: Iterable[str], layer_map: Sequence[int], dtype: Any = ms.float32) -> None:
        super().__init__()
        self.features = tuple(feature for feature in TEACHER_FEATURES if feature in features)
        self.layer_map, self.dtype = tuple(layer_map), dtype

    def construct(
        self, logits: Tensor, hidden_states: tuple, attention_scores: tuple, relation_states: tuple = ()
    ) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = ()
        for feature in self.features:
            if feature == "embedding":
                outputs = outputs + (self._detach(hidden_states[0]),)
            elif feature == "logits":
                outputs = outputs + (ops.stop_gradient(logits),)
            elif feature == "relation":
                for state in relation_states:
                    outputs = outputs + (self._detach(state),)
            else:
                for layer in self.layer_map:
                    by_layer = hidden_states[layer] if feature == "hidden" else attention_scores[layer - 1]
                    outputs = outputs + (self._detach(by_layer),)
        return outputs

    def _detach(self, tensor: Tensor) -> Tensor:
        return ops.stop_gradient(tensor.astype(self.dtype))


class DistillNetwork(nn.Cell):
    """A batch -> its loss and the parts of it.

    Parameters: `terms` the objective; `teacher` and `layer_map` (teacher layer of each student layer, from 1;
    for relations that of the student's last layer alone) where a term needs them; `projection` the dense
    layer from the student's to the teacher's width (W_h and W_e of the paper, one matrix as in the original
    code), an nn.CellList of one for each of the student's hidden_states, None for no projection;
    `temperature` T divides the logits of both sides; `include_padding`
    counts padded positions.
    Construct: input_ids, token_type_ids, attention_mask [B, S] int32, labels [B] ([B, C], or [B, S] for each
    token), weights [B] float32 (0 for filler rows of the last batch; they average to 1 over the ranks) ->
    loss (scalar), parts [P] (unweighted). Losses on logits of tokens get the mask of the labeled tokens.
    Where a term needs a teacher and the network has none, the teacher's outputs are further columns of the
    batch, as TeacherOutputs returns them. Where every term reads logits, student and teacher are called with
    `logits_only`, so that a classifier computes its last layer for [CLS] alone.
    """

    def __init__(
        self,
        student: nn.Cell,
        terms: Sequence[LossTerm],
        teacher: nn.Cell | None = None,
        layer_map: Sequence[int] = (),
        projection: nn.Cell | None = None,
        temperature: float = 1.0,
        include_padding: bool = False,
    ) -> None:
        super().__init__()
        self.student = student
        self.features = tuple(term.feature for term in terms)
        self.logits_only = LOGITS_FEATURES.issuperset(self.features)
        self.losses = tuple(term.loss for term in terms)
        self.term_weights = tuple(float(term.weight) for term in terms)
        self.layer_map, self.relates = tuple(layer_map), "relation" in self.features
        self.offsets = feature_offsets(self.features, len(self.layer_map))
        self.has_teacher = teacher is not None and any(
            feature in TEACHER_FEATURES for feature in self.features
        )
        self.teacher = nn.Identity() if teacher is None or not self.has_teacher else teacher
        self.teacher_outputs = (
            TeacherOutputs(self.features, self.layer_map) if self.has_teacher else nn.Identity()
        )
        self.projected = projection is not None
        self.by_layer = isinstance(projection, nn.CellList)
        self.hidden_projection = nn.Identity() if projection is None else projection
        self.inverse_temperature = 1.0 / temperature
        self.include_padding = include_padding

    def construct(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        weights: Tensor,
        *teacher_outputs: Tensor,
    ) -> tuple[Tensor, Tensor]:
        columns: tuple = (input_ids, token_type_ids, attention_mask)
        if self.logits_only:
            columns = columns + (True,)
        student = self.student(*columns)
        if self.has_teacher:
            outputs = self.teacher(*columns)
            if self.relates:
                relation_states = self.teacher.bert.relation_states(outputs[1], self.layer_map[0])
                outputs = outputs + (relation_states,)
            teacher_outputs = self.teacher_outputs(*outputs)
        mask = attention_mask.astype(ms.float32)
        if self.include_padding:
            mask = ops.ones_like(mask)
        label_mask = mask
        if student[0].ndim == 3:
            label_mask = (labels != IGNORE_INDEX).astype(ms.float32)
        loss = ms.Tensor(0.0, ms.float32)
        parts: tuple[Tensor, ...] = ()
        for i in range(len(self.features)):
            by_row = ops.zeros_like(weights)
            term_mask = label_mask if self.features[i] in ("logits", "labels") else mask
            for pair in self._pairs(i, student, teacher_outputs, labels):
                if self.include_padding and self.features[i] == "attention":
                    # As the original code does: padded queries count, the scores of padded keys are zero.
                    keys = attention_mask.astype(ms.float32).reshape(mask.shape[0], 1, 1, -1)
                    pair = (pair[0] * keys, pair[1] * keys)
                by_row = by_row + self.losses[i](pair[0], pair[1], term_mask)
            part = (by_row * weights).mean()
            loss = loss + part * self.term_weights[i]
            parts = parts + (ops.stop_gradient(part),)
        return loss, ops.stack(parts)

    def _pairs(self, i: int, student: tuple, teacher_outputs: tuple, labels: Tensor) -> tuple:
        # The tensors that term i compares: ((student, target), ...)
        feature, first = self.features[i], self.offsets[i]
        logits, states, scores = student
        if feature == "labels":
            return ((logits, labels),)
        if feature == "logits":
            return ((logits * self.inverse_temperature, teacher_outputs[first] * self.inverse_temperature),)
        if feature == "embedding":
            return ((self._project(states[0], 0), teacher_outputs[first]),)
        pairs: tuple = ()
        if feature == "relation":
            relation_states = self.student.bert.relation_states(states, len(states) - 1)
            for r in range(RELATIONS):
                pairs = pairs + ((relation_states[r].astype(ms.float32), teacher_outputs[first + r]),)
            return pairs
        for m in range(len(self.layer_map)):
            output = self._project(states[m + 1], m + 1) if feature == "hidden" else scores[m]
            pairs = pairs + ((output, teacher_outputs[first + m]),)
        return pairs

    def _project(self, states: Tensor, layer: int) -> Tensor:
        # [B*S, H student] -> [B*S, H teacher]; the losses compare in float32
        if self.by_layer:
            states = self.hidden_projection[layer](states)
        elif self.projected:
            states = self.hidden_projection(states)
        return states.astype(ms.float32)


def feature_offsets(features: Sequence[str], layers: int) -> tuple[int, ...]:
    """For each feature of an objective the index of its first tensor in TeacherOutputs (0 for labels)."""
    counts = {"embedding": 1, "hidden": layers, "relation": RELATIONS, "attention": layers, "logits": 1}
    offsets, offset = {}, 0
    for feature in TEACHER_FEATURES:
        if feature in features:
            offsets[feature] = offset
            offset += counts[feature]
    return tuple(offsets.get(feature, 0) for feature in features)
