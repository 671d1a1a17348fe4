"""General distillation (TinyBERT, Jiao et al. 2020, section 3.1): a teacher's layers on raw text."""

from __future__ import annotations

from ...config.cli import Resolved
from ...data import splits
from ...errors import UserError
from ...model.bert import BertEncoder
from ...model.state_dict import parameter_count
from ..model import load
from . import student
from .fit import PhaseSpec, train_phase
from .layer_distill import LayerMatch
from .run import Run
from .teacher import load_teacher
from .verdict import conclude


def general_distill(resolved: Resolved) -> Run:
    """Train a fresh student on embedding, hidden-state and attention losses. Returns the Run."""
    config = resolved.config
    if not config.load_teacher_ckpt_path:
        raise UserError(
            "--load_teacher_ckpt_path is required: a pretrained directory, or a .ckpt with its config "
            "in gd_config.py"
        )
    run = Run("general_distill", None, resolved)
    log = run.logger.info
    path, ignored = config.load_teacher_ckpt_path, config.ignore_unexpected
    files = load.read_model(path, log, resolved.networks["teacher"], "teacher", ignored)
    tokenizer_dir = files.tokenizer_dir
    student_config = student.fresh_config(config, files.config).replace(
        dtype=run.device.dtype, compute_type=run.device.compute_type
    )
    models = [(files.config, tokenizer_dir), (student_config, None)]
    (loader,) = splits.train_loaders(run, [config.data_dir], models, config.epoch_size, split=None)
    teacher = load_teacher(run, files)
    del files  # the network has copies of the weights, 0.4 GB for a BERT-base
    network = BertEncoder(student_config, run.device.layers)
    match = LayerMatch(config, student_config, teacher.config, dense=run.device.layers.dense)
    sizes = parameter_count(teacher.network), parameter_count(network)
    log(f"teacher {sizes[0]:,} parameters, student {sizes[1]:,}, initialized randomly")
    run.open()
    spec = PhaseSpec(1, "general distillation", config.epoch_size, config.learning_rate)
    objective, cached_teacher = match.network(run, spec, loader, network, teacher)
    train_phase(run, spec, objective, loader, None, cached_teacher)
    run.write_model("last", network, student_config, tokenizer_dir, extra=match.projection_arrays())
    conclude(run)
    run.finish()
    return run
