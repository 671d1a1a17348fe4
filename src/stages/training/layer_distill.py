"""Intermediate-layer distillation, shared by general distillation and phase 1 of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ...config.bert_config import BertConfig
from ...config.distill_config import IntermediateConfig
from ...data.dataloader import BucketDataLoader
from ...distill.cached_teacher import CachedTeacher
from ...distill.layer_map import parse_layer_map
from ...distill.network import DistillNetwork
from ...distill.objective import intermediate_terms
from ...errors import UserError
from ...model.layers import Dense
from ...model.state_dict import load_strict, weight_arrays
from ..model.load import ModelFiles
from .fit import PhaseSpec
from .run import Run
from .teacher import Teacher, attach_teacher

if TYPE_CHECKING:
    from mindspore import nn

PROJECTION = "hidden_projection."


class LayerMatch:
    """Which teacher layer each student layer matches, with which losses, through which projection.

    `projection` is the dense layer from the student's to the teacher's width, None where they agree;
    `carried` are the files of a general student, whose projection is trained on where it has one. Raises
    UserError where the layer map does not fit, all losses are off, or heads differ.
    """

    def __init__(
        self,
        config: IntermediateConfig,
        student_config: BertConfig,
        teacher_config: BertConfig,
        carried: ModelFiles | None = None,
        log: Callable[[str], None] = print,
    ) -> None:
        self.config, layers = config, (student_config.num_hidden_layers, teacher_config.num_hidden_layers)
        self.layer_map = parse_layer_map(config.layer_map, *layers)
        self.weights = config.embedding_weight, config.hidden_weight, config.attention_weight
        intermediate_terms(*self.weights)
        student_heads, heads = student_config.num_attention_heads, teacher_config.num_attention_heads
        if config.attention_weight and student_heads != heads:
            raise UserError(
                f"the student has {student_heads} heads, the teacher {heads}: give the student as many "
                "(--num_attention_heads), or switch the attention loss off with --attention_weight 0"
            )
        widths, self.projection = (student_config.hidden_size, teacher_config.hidden_size), None
        if widths[0] != widths[1]:
            self.projection = Dense(*widths, student_config)
        if carried and self.projection and (arrays := _projection_arrays(carried)):
            load_strict(self.projection, arrays, f"{carried.source} ({PROJECTION}*)")
            log("the hidden projection of the general student is loaded")

    def __str__(self) -> str:
        return ", ".join(f"{m + 1}<-{layer}" for m, layer in enumerate(self.layer_map))

    def network(
        self, run: Run, spec: PhaseSpec, loader: BucketDataLoader, student: nn.Cell, teacher: Teacher
    ) -> tuple[DistillNetwork, CachedTeacher | None]:
        """The student with embedding, hidden-state and attention losses to the teacher."""
        embedding, hidden, attention = self.weights
        terms = intermediate_terms(embedding, hidden, attention, **run.device.losses)
        inside, cached_teacher = attach_teacher(run, spec, loader, terms, teacher, self.layer_map)
        include_padding = self.config.loss_padding == "include"
        network = DistillNetwork(
            student, terms, inside, self.layer_map, self.projection, include_padding=include_padding
        )
        return network, cached_teacher

    def projection_arrays(self) -> dict[str, np.ndarray]:
        """The projection's weights {name in a model folder: array}; empty without one."""
        arrays = weight_arrays(self.projection) if self.projection else {}
        return {PROJECTION + name: array for name, array in arrays.items()}


def _projection_arrays(files: ModelFiles) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(PROJECTION): array
        for name, array in files.arrays.items()
        if name.startswith(PROJECTION)
    }
