"""The intermediate-layer distillation that general distillation and phase 1 of a task share."""

from ...distill.layer_map import parse_layer_map
from ...distill.network import DistillNetwork
from ...distill.objective import intermediate_rows
from ...errors import UserError
from ...model.layers import Dense
from ...model.state_dict import load_strict
from .fit import train_phase
from .teacher import attach_teacher

PROJECTION = "hidden_projection."


def layer_map_of(config, student_config, teacher_config):
    """The teacher layer of each student layer, as --layer_map says."""
    layers = student_config.num_hidden_layers, teacher_config.num_hidden_layers
    return parse_layer_map(config.layer_map, *layers)


def check_objective(config, student_config, teacher_config):
    """Raise UserError where nothing is left to fit, or heads differ: the loss compares head with head."""
    intermediate_rows(config.embedding_weight, config.hidden_weight, config.attention_weight)
    ours, theirs = student_config.num_attention_heads, teacher_config.num_attention_heads
    if config.attention_weight and ours != theirs:
        raise UserError(
            f"the student has {ours} heads, the teacher {theirs}: give the student as many "
            "(--num_attention_heads), or switch the attention loss off with --attention_weight 0"
        )


def projection_for(student_config, teacher_config, carried=None, source="", log=None):
    """The dense layer from the student's to the teacher's width; None where they agree.

    `carried` {name: array} may hold the projection of a general student (from `source`), which goes on then.
    """
    widths = student_config.hidden_size, teacher_config.hidden_size
    if widths[0] == widths[1]:
        return None
    projection = Dense(*widths, student_config)
    arrays = {
        name.removeprefix(PROJECTION): array
        for name, array in (carried or {}).items()
        if name.startswith(PROJECTION)
    }
    if arrays:
        load_strict(projection, arrays, f"{source} ({PROJECTION}*)")
        log("the hidden projection of the general student is carried along")
    return projection


def train_intermediate(run, plan, batches, student, teacher, evaluate=None):
    """Phase 1: embedding, hidden-state and attention losses over the layer map.

    `student` is its network, the layer map and the projection; `teacher` a teacher_cache.Teacher.
    """
    network, layer_map, projection = student
    config = run.config
    weights = config.embedding_weight, config.hidden_weight, config.attention_weight
    rows = intermediate_rows(*weights, **run.device.losses)
    padded = config.loss_padding == "include"
    inside, lesson = attach_teacher(run, plan, batches, rows, teacher, layer_map)
    has_teacher = DistillNetwork(network, rows, inside, layer_map, projection, include_padding=padded)
    train_phase(run, plan, has_teacher, batches, evaluate, lesson)
