"""Intermediate-layer distillation, shared by general distillation and phase 1 of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from mindspore import nn

from ...config.bert_config import BertConfig
from ...config.distill_config import IntermediateConfig
from ...config.fields import not_default
from ...data.dataloader import BucketDataLoader
from ...distill.cached_teacher import CachedTeacher
from ...distill.layer_map import parse_layer_map
from ...distill.network import DistillNetwork
from ...distill.objective import LossTerm, intermediate_terms, relation_terms
from ...distill.relations import relation_heads, relation_layer
from ...errors import UserError
from ...model.layers import Dense
from ...model.state_dict import load_strict, weight_arrays
from ..model.load import ModelFiles
from .fit import PhaseSpec
from .run import Run
from .teacher import Teacher, attach_teacher

PROJECTION = "hidden_projection."
TINYBERT_FLAGS = (
    "embedding_weight",
    "hidden_weight",
    "attention_weight",
    "hidden_projection",
    "loss_padding",
)


class LayerMatch:
    """Which teacher layer each student layer matches, with which losses, through which projection.

    `projection` is the dense layer from the student's to the teacher's width, or an nn.CellList of one for
    each of the student's hidden states; None where the widths agree, unless the general student was trained
    with one per layer. `carried` are the files of that general student, whose projection is trained on where
    it has one; `dense` constructs it. With relations, `layer_map` has the teacher layer of the student's last
    layer alone. Raises UserError where the layer map does not fit, all losses are off, or heads differ.
    """

    def __init__(
        self,
        config: IntermediateConfig,
        student_config: BertConfig,
        teacher_config: BertConfig,
        carried: ModelFiles | None = None,
        log: Callable[[str], None] = print,
        dense: Callable = Dense,
    ) -> None:
        self.config, self.dense = config, dense
        self.layers = student_config.num_hidden_layers, teacher_config.num_hidden_layers
        self.projection: nn.Cell | None = None
        _check_flags(config)
        if config.intermediate_loss == "relation":
            widths = student_config.attention_size, teacher_config.attention_size
            self.heads = relation_heads(config.relation_heads, *widths)
            self.layer_map: tuple[int, ...] = (relation_layer(config.relation_layer, self.layers[1]),)
            return
        self.layer_map = parse_layer_map(config.layer_map, *self.layers)
        if config.layer_map == "uniform" and self.layers[1] % self.layers[0]:
            log(
                f"the student's {self.layers[0]} layers do not divide the teacher's {self.layers[1]}: the "
                f"layer map is rounded to {','.join(map(str, self.layer_map))} (--layer_map takes another)"
            )
        self._match_tensors(student_config, teacher_config, carried, log)

    def _match_tensors(
        self,
        student_config: BertConfig,
        teacher_config: BertConfig,
        carried: ModelFiles | None,
        log: Callable[[str], None],
    ) -> None:
        """Check the losses of TinyBERT, which compare tensors of one shape, and make the projection."""
        config = self.config
        self.terms()
        student_heads, heads = student_config.num_attention_heads, teacher_config.num_attention_heads
        if config.attention_weight and student_heads != heads:
            raise UserError(
                f"the student has {student_heads} heads, the teacher {heads}: give the student as many "
                "(--num_attention_heads), compare relations (--intermediate_loss relation), or switch the "
                "attention loss off with --attention_weight 0"
            )
        widths = student_config.hidden_size, teacher_config.hidden_size
        found = _projection_arrays(carried) if carried else {}
        by_layer = config.hidden_projection == "per_layer"
        if widths[0] != widths[1] or (by_layer and "0.weight" in found):
            self.projection = self.dense(*widths, student_config)
            if by_layer:
                more = (self.dense(*widths, student_config) for _ in range(student_config.num_hidden_layers))
                self.projection = nn.CellList([self.projection, *more])
        if carried and found:
            self._load_projection(carried, found, log)

    def __str__(self) -> str:
        if self.config.intermediate_loss == "relation":
            layers = f"{self.layers[0]}<-{self.layer_map[0]}"
            return f"{layers}, relations of {self.heads} heads"
        return ", ".join(f"{m + 1}<-{layer}" for m, layer in enumerate(self.layer_map))

    def network(
        self, run: Run, spec: PhaseSpec, loader: BucketDataLoader, student: nn.Cell, teacher: Teacher
    ) -> tuple[DistillNetwork, CachedTeacher | None]:
        """The student with losses to the teacher's layers."""
        terms = self.terms(run.device.losses)
        inside, cached_teacher = attach_teacher(run, spec, loader, terms, teacher, self.layer_map)
        include_padding = self.config.loss_padding == "include"
        network = DistillNetwork(
            student, terms, inside, self.layer_map, self.projection, include_padding=include_padding
        )
        return network, cached_teacher

    def terms(self, losses: Mapping[str, Callable] = {}) -> tuple[LossTerm, ...]:
        """The objective; `losses` are implementations as intermediate_terms takes them."""
        config = self.config
        if config.intermediate_loss == "relation":
            return relation_terms(self.heads)
        return intermediate_terms(
            config.embedding_weight, config.hidden_weight, config.attention_weight, **losses
        )

    def _load_projection(
        self, carried: ModelFiles, found: dict[str, np.ndarray], log: Callable[[str], None]
    ) -> None:
        """Load the projection `found` in the general student `carried`, or log why it is not used.

        A shared one starts the projections of all layers. PaddleNLP's files hold both kinds.
        """
        title = "the hidden projection of the general student"
        shared = {name: array for name, array in found.items() if not name[0].isdigit()}
        by_layer = {name: array for name, array in found.items() if name not in shared}
        arrays, note = shared, ""
        if isinstance(self.projection, nn.CellList):
            arrays, note = by_layer, ", one per layer"
            if not by_layer:
                layers = range(len(self.projection))
                arrays = {f"{layer}.{name}": array for layer in layers for name, array in shared.items()}
                note = " into the projection of each layer"
        if self.projection is None:
            log(f"{title} is not used: student and teacher are of one width")
        elif arrays:
            load_strict(self.projection, arrays, f"{carried.source} ({PROJECTION}*)")
            log(f"{title} is loaded{note}")
        else:
            log(f"{title} is not used: it is one per layer; continue it with --hidden_projection per_layer")

    def projection_arrays(self) -> dict[str, np.ndarray]:
        """The projection's weights {name in a model folder: array}; empty without one."""
        arrays = weight_arrays(self.projection) if self.projection else {}
        return {PROJECTION + name: array for name, array in arrays.items()}


def _check_flags(config: IntermediateConfig) -> None:
    """Raise UserError for a flag that belongs to the other losses."""
    unused: tuple[str, ...] = ("relation_heads", "relation_layer")
    if config.intermediate_loss == "relation":
        # A student of its teacher's layers has those of the map.
        copies_layers = getattr(config, "start", "") == "teacher_layers"
        unused = TINYBERT_FLAGS if copies_layers else (*TINYBERT_FLAGS, "layer_map")
    for name in not_default(config, unused):
        raise UserError(
            f"--{name} has no effect with --intermediate_loss {config.intermediate_loss}; omit it"
        )


def _projection_arrays(files: ModelFiles) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(PROJECTION): array
        for name, array in files.arrays.items()
        if name.startswith(PROJECTION)
    }
