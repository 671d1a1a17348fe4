"""A network that returns (loss, parts) -> a trained network: optimizer, train step and loop put together."""

import dataclasses

from ...distill.network import DistillNetwork
from ...distill.teacher_cache import dataset_hash
from ...errors import UserError
from ...kernels.layers import bind_dropout
from ...train.checkpoint import restore
from ...train.device import sink_steps
from ...train.distributed import all_ranks, gradient_reducer
from ...train.optimizer import adam_weight_decay, bias_corrected, polynomial_schedule
from ...train.profiler import StepProfile
from ...train.throughput import step_flops
from ...train.train_step import AllFinite, LossScale, TrainStep
from ...train.trainer import TrainPhase, phase_steps


@dataclasses.dataclass(frozen=True)
class PhaseSpec:
    """What differs between one phase and the next. `eval_steps` as in TrainPhase."""

    number: int
    title: str
    epochs: int
    learning_rate: float
    eval_steps: int = 0


def freeze(network):
    """Make a network a teacher: no gradients, no dropout."""
    for parameter in network.get_parameters():
        parameter.requires_grad = False
    network.set_train(False)
    return network


def train_phase(run, plan, network: DistillNetwork, batches, evaluate=None, lesson=None):
    """Train what is trainable in `network`; goes on from the run's checkpoint when that is of this phase.

    `evaluate(epoch, step)` is called after each epoch, and as `plan.eval_steps` says; `lesson` as in
    TrainPhase.
    """
    config = run.config
    total = phase_steps(plan.epochs, config.train_steps, batches.steps_per_epoch)
    if total == 0:
        run.logger.info(f"{plan.title}: 0 steps, nothing is trained")
        return
    # Masks differ between phases and ranks.
    seed = (config.seed << 16) + (plan.number << 12) + run.ranks.rank
    schedule = _schedule(config, total, plan.learning_rate)
    step = train_step(network, schedule, config, run.device, seed, run.ranks)
    rows = dataset_hash(batches.table, "labels")
    done = _resume(run, plan.number, step, rows)
    run.logger.info(
        f"{plan.title}: {batches.table.rows} rows, batch {batches.batch_size}, lengths "
        f"{'/'.join(map(str, batches.buckets))}, {batches.steps_per_epoch} steps an epoch, {total} in all"
    )
    # What a teacher answers comes from the host, step by step.
    sunk = 0 if lesson else sink_steps(config, run.device, batches.buckets)
    profile = _profile(run, plan, total - done)
    phase = TrainPhase(
        number=plan.number,
        title=plan.title,
        step=step,
        batches=batches,
        epochs=plan.epochs,
        max_steps=config.train_steps,
        parts=network.features,
        evaluate=evaluate,
        log_name=run.log_name,
        sink_steps=sunk,
        eval_steps=plan.eval_steps,
        lesson=lesson,
        graph=None if sunk else run.meter.graph(step, "train step", step_flops(network)),
        meter=run.meter,
        profile=profile,
        noted=lambda: {"rows": rows, "best": run.best_value},
    )
    run.loop.run(phase, done)
    if profile:
        profile.end()


def train_step(network, schedule, config, device, seed, ranks):
    """The TrainStep of a DistillNetwork, which is set to train; `seed` is that of its dropout."""
    optimizer = adam_weight_decay(network.trainable_params(), schedule, config, device.optimizer)
    scale = LossScale(config.loss_scale_value, config.scale_factor, config.scale_window)
    reducer = gradient_reducer(optimizer.parameters, ranks)
    all_finite = None if device.target == "CPU" else AllFinite(all_ranks(ranks))
    norm = device.squared_norm
    step = TrainStep(network, optimizer, scale, config.clip_norm, reducer, norm, all_finite)
    # The step of the masks is the optimizer's own, which a checkpoint keeps.
    bind_dropout(network, optimizer.global_step, seed)
    network.set_train(True)
    if network.has_teacher:
        network.teacher.set_train(False)
    return step


def _schedule(config, total, peak):
    schedule = polynomial_schedule(total, peak, config.end_learning_rate, config.power, config.warmup_ratio)
    return bias_corrected(schedule) if config.bias_correction else schedule


def _profile(run, plan, left):
    if not run.config.profile:
        return None
    tables = run.output_dir / "profile" / f"phase{plan.number}" if run.ranks.is_main else None
    return StepProfile(run.config.profile, left, tables, run.logger.info)


def _resume(run, number, step, rows):
    if resumed_phase(run) != number:
        return 0
    position, path = run.reached
    if position.get("rows", rows) != rows:
        raise UserError(
            f"{path} is from a run over other training rows: the records have changed since; bring those "
            "back, or begin anew with --overwrite_output_dir"
        )
    restore(step, path)
    return position["step"]


def resumed_phase(run):
    """The phase whose checkpoint a resumed run goes on from, or 0."""
    return run.reached[0]["phase"] if run.reached else 0
