"""General distillation (TinyBERT, Jiao et al. 2020, section 3.1): a teacher's layers on raw text."""

import dataclasses

from ...config.gd_config import TEACHER_NET
from ...data import splits as tables
from ...errors import UserError
from ...model.bert import BertEncoder
from ...model.state_dict import parameter_count, weight_arrays
from ..model import load
from . import student
from .fit import PhaseSpec, freeze
from .layer_distill import (
    PROJECTION,
    check_objective,
    layer_map_of,
    projection_for,
    train_intermediate,
)
from .run import Run
from .teacher import Teacher


def general_distill(resolved):
    """Train a fresh student on embedding, hidden-state and attention losses alone. Returns the Run."""
    config = resolved.config
    if not config.load_teacher_ckpt_path:
        raise UserError(
            "--load_teacher_ckpt_path is required: a pretrained directory, or a .ckpt with its config "
            "in gd_config.py"
        )
    run = Run("general_distill", None, resolved)
    log = run.logger.info
    files = load.read_model(config.load_teacher_ckpt_path, log, TEACHER_NET, "teacher")
    table = tables.sample_rows(tables.read_split(config, config.data_dir, None), config.max_rows, log)
    tables.check_tokenizer(files.tokenizer_dir, table, config.data_dir)
    student_config = student.fresh_config(config, files.config).replace(
        dtype=run.device.dtype, compute_type=run.device.compute_type
    )
    for each in (files.config, student_config):
        tables.check_table(table, each, None, config.data_dir)
    teacher, teacher_config = load.body_from(files, run.device, log)
    # The network has copies of the weights: those of a BERT-base would take 0.4 GB to the end of the run.
    files = dataclasses.replace(files, arrays={})
    layer_map = layer_map_of(config, student_config, teacher_config)
    check_objective(config, student_config, teacher_config)
    network = BertEncoder(student_config, run.device.layers)
    projection = projection_for(student_config, teacher_config)
    sizes = parameter_count(teacher), parameter_count(network)
    log(f"teacher {sizes[0]:,} parameters, student {sizes[1]:,}, its weights fresh")
    batches = tables.train_batches(table, run, config.epoch_size)
    run.open()
    plan = PhaseSpec(1, "general distillation", config.epoch_size, config.learning_rate)
    taught_by = Teacher(freeze(teacher), teacher_config, files.source)
    train_intermediate(run, plan, batches, (network, layer_map, projection), taught_by)
    carried = weight_arrays(projection) if projection else {}
    extra = {PROJECTION + name: array for name, array in carried.items()}
    run.write_model("last", network, student_config, files.tokenizer_dir, extra=extra)
    run.finish()
    return run
