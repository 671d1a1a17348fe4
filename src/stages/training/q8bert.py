"""Quantization-aware training (Q8BERT, Zafrir et al. 2019): fine-tuning with weights and inputs rounded.

Without training steps it is post-training quantization: ranges are calibrated, weights stay unchanged.
"""

from __future__ import annotations

from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from ...config.bert_config import BertConfig
from ...config.cli import Resolved
from ...config.q8bert_config import NO_INIT
from ...config.quantization import Quantization
from ...data import splits
from ...data.dataloader import BucketDataLoader
from ...distill.cached_teacher import CachedTeacher
from ...distill.network import DistillNetwork
from ...distill.objective import LossTerm, label_terms, logits_temperature, prediction_terms
from ...errors import UserError
from ...infer.predictor import LogitsCell, evaluation_mode
from ...metrics import short_name
from ...model.bert import BertClassifier
from ...model.state_dict import named_parameters
from ...quant.layers import bind_ranges, calibration_mode
from ...tasks import TaskSpec
from ...train.distributed import all_reduce_max, all_reduce_sum
from ...train.trainer import phase_steps
from ...weights.huggingface import weight_count
from ..evaluation.evaluator import EpochEvaluation
from ..model import load
from ..model.quantization import unset_ranges
from .fit import PhaseSpec, resumed_phase, train_phase
from .run import Run
from .teacher import Teacher, attach_teacher, load_teacher
from .verdict import conclude, evaluate_teacher, log_data_warnings


def q8bert(task: TaskSpec, resolved: Resolved) -> Run:
    """Quantize a model by training or by calibration alone, evaluate, keep the best. Returns the Run."""
    config = resolved.config
    if not config.load_ckpt_path:
        raise UserError("--load_ckpt_path is required: the model to quantize, a directory or a .ckpt")
    run = Run("q8bert", task, resolved)
    run.log_name, log = "loss", run.logger.info
    ignored, networks, teacher_files = config.ignore_unexpected, resolved.networks, None
    files = load.read_model(config.load_ckpt_path, log, networks["student"], "student", ignored)
    if config.load_teacher_ckpt_path:
        teacher_files = load.read_model(
            config.load_teacher_ckpt_path, log, networks["teacher"], "teacher", ignored
        )
    models = [(each.config, each.tokenizer_dir) for each in (files, teacher_files) if each]
    folder, epochs = config.train_data_dir, config.epoch_num
    (loader,) = splits.train_loaders(run, [folder], models, epochs, needs_labels=not teacher_files)
    terms = _terms(run, loader, teacher_files is not None)
    network, bert_config = _student(run, files)
    teacher = _teacher(run, teacher_files) if teacher_files else None
    tokenizer_dir, evaluate = files.tokenizer_dir, None
    del files, teacher_files  # the networks have copies of the weights, 0.4 GB for a BERT-base
    if config.do_eval:
        reference = teacher.network if teacher else None
        evaluate = EpochEvaluation(run, network, bert_config, tokenizer_dir, _result_line, reference)
    run.open()
    log_data_warnings(run, loader, evaluate)
    teacher_result = evaluate_teacher(run, teacher, evaluate, config.epoch_num)
    bind_ranges(network, config.ema_decay, all_reduce_max(run.ranks))
    if config.do_quant and not resumed_phase(run):
        _set_ranges(run, network, loader)
    title = "quantization-aware training" if config.do_quant else "training in float"
    spec = PhaseSpec(1, title, config.epoch_num, config.learning_rate, config.eval_ckpt_step)
    objective, cached_teacher = _objective(run, spec, loader, network, terms, teacher)
    train_phase(run, spec, objective, loader, evaluate, cached_teacher)
    if evaluate and not phase_steps(config.epoch_num, config.train_steps, loader.steps_per_epoch):
        evaluate(0, 0)
    run.write_model("last", network, bert_config, tokenizer_dir, run.last_metrics)
    conclude(run, evaluate, teacher_result, "quantized")
    if run.best_value is not None:
        log(f"best {short_name(task)}: {run.best_value:.6f}")
    run.finish()
    return run


def _student(run: Run, files: load.ModelFiles) -> tuple[BertClassifier, BertConfig]:
    """The network to quantize and its config."""
    config, log = run.config, run.logger.info
    changes = load.dropout_rates(files.config, config)
    # A new head makes sense only where it is trained.
    network, bert_config = load.load_classifier(
        files, run.task, run.device, log, config.epoch_num > 0, **changes, quantization=config.quantization
    )
    log(f"{weight_count(bert_config):,} parameters, {_described(config.quantization)}")
    return network, bert_config


def _described(quantization: Quantization | None) -> str:
    if quantization is None:
        return "in float"
    granularity = "output" if quantization.per_channel else "tensor"
    return (
        f"weights in {quantization.weight_bits} bits (one range per {granularity}), embeddings in "
        f"{quantization.embedding_bits}, inputs of dense layers in {quantization.activation_bits}; 0 is float"
    )


def _teacher(run: Run, files: load.ModelFiles) -> Teacher:
    teacher = load_teacher(run, files)
    run.logger.info(f"teacher from {teacher.source}, {weight_count(teacher.config):,} parameters")
    return teacher


def _terms(run: Run, loader: BucketDataLoader, has_teacher: bool) -> tuple[LossTerm, ...]:
    """The losses: to the labels, or to a teacher (and the labels with is_lgt_fit)."""
    mode, fits_labels = run.task.output_mode, run.config.is_lgt_fit
    if not has_teacher:
        return label_terms(mode)
    share = float(loader.dataset.labeled.mean())
    if fits_labels and not share:
        raise UserError("no training row has a label, which --is_lgt_fit needs; leave it out")
    return prediction_terms(mode, label_weight=float(fits_labels), labeled_share=share)


def _objective(
    run: Run,
    spec: PhaseSpec,
    loader: BucketDataLoader,
    network: nn.Cell,
    terms: tuple[LossTerm, ...],
    teacher: Teacher | None,
) -> tuple[DistillNetwork, CachedTeacher | None]:
    """The network with its losses."""
    if teacher is None:
        return DistillNetwork(network, terms), None
    inside, cached_teacher = attach_teacher(run, spec, loader, terms, teacher)
    temperature = logits_temperature(run.task.output_mode, run.config.temperature)
    return DistillNetwork(network, terms, inside, temperature=temperature), cached_teacher


def _set_ranges(run: Run, network: nn.Cell, loader: BucketDataLoader) -> None:
    """Set the initial values of the ranges' moving averages."""
    config = run.config
    if config.activation_init != NO_INIT:
        count = init_ranges(network, float(config.activation_init))
        run.logger.info(f"input ranges: {count} unset ones initialized to {config.activation_init}")
    if config.activation_bits and config.calibration_steps:
        rows, total = calibrate(network, loader, config.calibration_steps), all_reduce_sum(run.ranks)
        rows = int(total([rows])[0]) if total else rows
        run.logger.info(f"input ranges: widened to the maximum over {rows} training rows")


def init_ranges(network: nn.Cell, value: float) -> int:
    """Set the ranges that are not set yet to `value`; returns their number."""
    parameters, unset = named_parameters(network), unset_ranges(network)
    for name in unset:
        parameters[name].set_data(ms.Tensor(np.array([value], np.float32)))
    return len(unset)


def calibrate(network: nn.Cell, loader: BucketDataLoader, steps: int) -> int:
    """Widen the ranges to the maximum over the first `steps` batches of an epoch; nothing else changes.

    Returns the number of this rank's rows. Requires `bind_ranges`.
    """
    cell, rows = LogitsCell(network), 0
    with evaluation_mode(network), calibration_mode(network):
        for _, batch in zip(range(steps), loader.epoch(0), strict=False):
            columns = (batch.input_ids, batch.token_type_ids, batch.attention_mask)
            cell(*map(ms.Tensor, columns)).asnumpy()
            rows += int((batch.weights > 0).sum())
    return rows


def _result_line(metrics: dict[str, Any]) -> str:
    """The line of an evaluation, with the metrics' names as the model zoo's Q8BERT writes them."""
    names = [name for name in metrics if name.startswith("eval_") and "samples" not in name]
    return f"The current result is { ({name.removeprefix('eval_'): metrics[name] for name in names}) }"
