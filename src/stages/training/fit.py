"""Trains a network that returns (loss, parts): optimizer, train step, callbacks and loop put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from mindspore import nn

from ...config.train_config import LoopConfig
from ...data.dataloader import BucketDataLoader
from ...distill.cached_teacher import CachedTeacher
from ...distill.network import DistillNetwork
from ...distill.teacher_cache import dataset_hash
from ...errors import UserError
from ...kernels.layers import bind_dropout
from ...train.callbacks import (
    Callback,
    CheckpointCallback,
    EvaluationCallback,
    LoggingCallback,
    LossWindow,
    ProfilerCallback,
    ThroughputCallback,
)
from ...train.checkpoint import restore
from ...train.device import sink_steps
from ...train.distributed import Ranks, all_ranks, gradient_reducer
from ...train.optimizer import adam_weight_decay, polynomial_schedule
from ...train.profiler import StepProfile
from ...train.throughput import step_flops
from ...train.train_step import AllFinite, ClipEach, LossScale, TrainStep
from ...train.trainer import TrainPhase, phase_steps
from ..model.device import DeviceSetup

if TYPE_CHECKING:
    from .run import Run

Evaluate = Callable[[int, int], None]  # of epoch and step
LOG_LINES = 20  # of a phase with --logging_step auto


@dataclasses.dataclass(frozen=True)
class PhaseSpec:
    """What distinguishes one phase from the next. `eval_steps`: steps between evaluations, 0 for epochs.

    `warmup_ratio` and `loss_scale` None: those of the config.
    """

    number: int
    title: str
    epochs: int
    learning_rate: float
    eval_steps: int = 0
    warmup_ratio: float | None = None
    loss_scale: float | None = None


PhaseInputs = tuple[PhaseSpec, DistillNetwork, BucketDataLoader, "Evaluate | None", "CachedTeacher | None"]


def freeze(network: nn.Cell) -> nn.Cell:
    """Turn a network into a teacher: no gradients, no dropout."""
    for parameter in network.get_parameters():
        parameter.requires_grad = False
    network.set_train(False)
    return network


def train_phase(
    run: Run,
    spec: PhaseSpec,
    network: DistillNetwork,
    loader: BucketDataLoader,
    evaluate: Evaluate | None = None,
    cached_teacher: CachedTeacher | None = None,
) -> None:
    """Train the trainable parameters of `network`, from the run's checkpoint where it is of this phase.

    `evaluate(epoch, step)` is called after each epoch and every `spec.eval_steps` steps.
    """
    config, dataset = run.config, loader.dataset
    total = phase_steps(spec.epochs, config.train_steps, loader.steps_per_epoch)
    if total == 0:
        run.logger.info(f"{spec.title}: 0 steps, nothing is trained")
        return
    # The kernels' dropout masks differ between phases and ranks; MindSpore's follow its global seed alone.
    seed = (config.seed << 16) + (spec.number << 12) + run.ranks.rank
    if spec.loss_scale is not None:
        config = dataclasses.replace(config, loss_scale_value=spec.loss_scale)
    schedule = _schedule(config, total, spec)
    step = train_step(network, schedule, config, run.device, seed, run.ranks)
    rows = dataset_hash(dataset, "labels")
    start_step = _resume(run, spec.number, step, rows, loader.buckets)
    missing = int((~dataset.labeled).sum()) if run.task else 0
    rows_text = f"{dataset.rows} rows{f' ({missing} without a label)' if missing else ''}"
    run.logger.info(
        f"{spec.title}: {rows_text}, batch {loader.batch_size}, lengths "
        f"{'/'.join(map(str, loader.buckets))}, {loader.steps_per_epoch} steps an epoch, {total} in all"
    )
    chunk = sink_steps(config, run.device, loader.buckets, loader.steps_per_epoch, cached_teacher is not None)
    compiled = step if chunk else run.meter.compiled(step, "train step", step_flops(network))
    callbacks: list[Callback] = [ThroughputCallback(run.meter)]
    if config.profile:
        tables = run.output_dir / "profile" / f"phase{spec.number}" if run.ranks.is_main else None
        left, target = total - start_step, run.device.target
        profile = StepProfile(config.profile, left, tables, run.logger.info, target)
        callbacks.append(ProfilerCallback(profile, run.meter))
    folder = run.checkpoints.folder
    window = LossWindow(run.checkpoint[0].get("losses") if run.checkpoint and start_step else None)
    interval = config.logging_step if config.logging_step > 0 else -(-total // LOG_LINES)
    callbacks.append(
        LoggingCallback(run.logger, step, interval, network.features, run.log_name, folder, window)
    )
    if evaluate:
        callbacks.append(EvaluationCallback(evaluate, spec.eval_steps))
    callbacks.append(
        CheckpointCallback(
            run.checkpoints,
            step,
            config.save_ckpt_step,
            lambda: {"rows": rows, "lengths": loader.buckets, "losses": window.state(), **run.best()},
        )
    )
    phase = TrainPhase(
        spec.number, spec.title, compiled, loader, spec.epochs, config.train_steps, chunk, cached_teacher
    )
    run.trainer.run(phase, callbacks, start_step)


def train_step(
    network: DistillNetwork,
    schedule: np.ndarray,
    config: LoopConfig,
    device: DeviceSetup,
    seed: int,
    ranks: Ranks,
) -> TrainStep:
    """The TrainStep of a DistillNetwork, which is set to training mode; `seed` is that of its dropout."""
    optimizer = adam_weight_decay(network.trainable_params(), schedule, config, device.optimizer)
    scale = LossScale(config.loss_scale_value, config.scale_factor, config.scale_window)
    reducer = gradient_reducer(optimizer.parameters, ranks)
    all_finite = None if device.target == "CPU" else AllFinite(all_ranks(ranks))
    norm = device.squared_norm
    clip = ClipEach(config.clip_norm) if config.clip_each and config.clip_norm else config.clip_norm
    step = TrainStep(network, optimizer, scale, clip, reducer, norm, all_finite)
    # Dropout takes the optimizer's own step counter, which checkpoints hold.
    bind_dropout(network, optimizer.global_step, seed)
    network.set_train(True)
    if network.has_teacher:
        network.teacher.set_train(False)
    return step


def _schedule(config: LoopConfig, total: int, spec: PhaseSpec) -> np.ndarray:
    warmup = config.warmup_ratio if spec.warmup_ratio is None else spec.warmup_ratio
    decay = (config.end_learning_rate, config.power, warmup, config.decay_from)
    return polynomial_schedule(total, spec.learning_rate, *decay)


def _resume(run: Run, number: int, step: TrainStep, rows: str, lengths: list[int]) -> int:
    """Restore the run's checkpoint where it is of this phase; returns its step, else 0."""
    if not run.checkpoint or resumed_phase(run) != number:
        return 0
    position, path = run.checkpoint
    if position.get("rows", rows) != rows:
        raise UserError(
            f"{path} is from a run over other training rows: the records have changed; restore them, or "
            "start over with --overwrite_output_dir"
        )
    if (before := position.get("lengths")) != lengths:  # earlier versions saved none
        raise UserError(
            f"{path} is from a run with batches of other lengths ({before or 'unknown'}, now {lengths}): the "
            "records were prepared with another --max_seq_length, or another version of this program began "
            "it; start over with --overwrite_output_dir"
        )
    restore(step, path)
    return position["step"]


def resumed_phase(run: Run) -> int:
    """The phase of the checkpoint from which a resumed run continues, or 0."""
    return run.checkpoint[0]["phase"] if run.checkpoint else 0
