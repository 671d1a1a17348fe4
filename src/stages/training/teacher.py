"""The teacher of a phase: in every step, or once per row through a cache."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...config.bert_config import BertConfig
from ...config.distill_config import cache_root
from ...digests import hash_arrays
from ...distill.cached_teacher import CachedTeacher, TeacherForward
from ...distill.network import TEACHER_FEATURES
from ...distill.teacher_cache import TeacherCache, cache_of, megabytes
from ...model.state_dict import weight_arrays
from ...train.throughput import computed_layers, forward_flops
from ...train.trainer import phase_steps
from ..model import load
from ..model.device import DeviceSetup, with_bf16_products
from .fit import PhaseSpec, freeze

if TYPE_CHECKING:
    from mindspore import nn

    from ...data.dataloader import BucketDataLoader
    from ...distill.objective import LossTerm
    from .run import Run

GB = 1e9
# With --matmul_precision auto, narrower teachers stay in float32: their products take next to no time.
MIN_WIDTH = 256
# The least rate of bfloat16, of float32's: a smaller gain is not worth other numbers.
MIN_GAIN = 1.2


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A frozen teacher, its config, file and device; `later_features`: its outputs that a later phase over
    the same rows needs."""

    network: nn.Cell
    config: BertConfig
    source: Path
    device: DeviceSetup
    later_features: tuple[str, ...] = ()

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 of its weights, a part of every cache's key."""
        return hash_arrays(weight_arrays(self.network))


def load_teacher(run: Run, files: load.ModelFiles, later_features: tuple[str, ...] = ()) -> Teacher:
    """The frozen Teacher with the weights of `files`: a classifier of the run's task, else an encoder."""
    device, log = _device(run, files.config.hidden_size), run.logger.info
    if device.precision != run.device.precision:
        run.meter.rate = None  # no single rate is that of both precisions
    network: nn.Cell
    if run.task:
        network, config = load.load_classifier(files, run.task, device, log)
    else:
        network, config = load.load_encoder(files, device, log)
    return Teacher(freeze(network), config, files.source, device, later_features)


def _device(run: Run, width: int) -> DeviceSetup:
    """The DeviceSetup of a teacher of `width`; where it is chosen, the choice is logged.

    With --matmul_precision auto its products are in bfloat16 where all ranks measure this to be faster. A
    resumed run does not measure again.
    """
    device, before = run.device, run.measured.get("teacher_precision")
    if run.config.matmul_precision != "auto":
        return device
    in_bf16 = with_bf16_products(device) if device.bf16_library else None
    faster, reason = in_bf16 is not None and before == "bf16", ""
    if in_bf16 and not before and width >= MIN_WIDTH:
        gain = in_bf16.matmul_rate(width) / device.matmul_rate(width)
        faster = gain >= MIN_GAIN
        reason = f"; bf16 has {gain:.2f} times fp32's rate at its width, {MIN_GAIN:g} needed on every rank"
    precision = "fp32" if run.any_rank(not faster) else "bf16"
    run.measured["teacher_precision"] = precision
    if before == "bf16":
        reason = ", as before" if precision == before else ", no longer bf16: a machine has no such products"
    if reason:
        run.logger.info(f"matmul precision auto: {precision} for the teacher{reason}")
    return in_bf16 if in_bf16 and precision == "bf16" else device


def attach_teacher(
    run: Run,
    spec: PhaseSpec,
    loader: BucketDataLoader,
    terms: Sequence[LossTerm],
    teacher: Teacher,
    layer_map: Sequence[int] = (),
) -> tuple[nn.Cell | None, CachedTeacher | None]:
    """(the teacher's network for a DistillNetwork with the loss `terms`, None), or (None, a CachedTeacher).

    Both are None where no term needs a teacher. The choice and the estimated size are logged.
    """
    config = run.config
    features = [term.feature for term in terms if term.feature in TEACHER_FEATURES]
    if not features:
        return None, None
    cacheable = "logits" if features == ["logits"] else "full"
    if not phase_steps(spec.epochs, config.train_steps, loader.steps_per_epoch):
        return teacher.network, None
    if config.teacher_cache not in ("auto", "full", cacheable):
        return teacher.network, None
    if getattr(config, "loss_padding", "exclude") == "include" and cacheable == "full":
        run.logger.info(
            "teacher cache: off, since --loss_padding include needs the padding, which no cache has"
        )
        return teacher.network, None
    root = cache_root(config, run.output_dir)
    cache_for = partial(cache_of, root, teacher, loader.dataset, layer_map=layer_map, run=run.output_dir)
    cache = cache_for(features=features)
    rounded, has_room, written = _cache_use(run, spec, loader, cache)
    if not rounded:
        return teacher.network, None
    later_features = [feature for feature in teacher.later_features if has_room and feature not in features]
    logits_cache = cache_for(features=later_features) if later_features else None
    features += later_features
    forward = TeacherForward(teacher.network, features, layer_map).set_train(False)
    layers = computed_layers(features, layer_map)
    flops = partial(forward_flops, teacher.config, layers=layers, logits_only=forward.logits_only)
    compiled = run.meter.compiled(forward, "teacher", flops)
    is_main, log = run.ranks.is_main, run.logger.info
    return None, CachedTeacher(compiled, cache, run.broadcast, is_main, log, logits_cache, written)


def _cache_use(
    run: Run, spec: PhaseSpec, loader: BucketDataLoader, cache: TeacherCache
) -> tuple[bool, bool, bool]:
    """(whether the outputs are rounded as in the cache, whether it has to be made and has room, whether it is
    written). Logged.

    It is used where it is complete, or where one epoch will complete it and there is room; it is not written
    if neither a later epoch nor another run reads it. With --teacher_cache auto a resumed run goes on
    rounding, or not rounding, whatever the disk has room for now.
    """
    log, config, title = run.logger.info, run.config, f"teacher cache of {spec.title}"
    name = f"teacher_outputs_phase{spec.number}"
    before = run.measured.get(name) if config.teacher_cache == "auto" else None
    if before != "float32" and run.broadcast(cache.is_complete()):
        log(f"{title}: reading {cache.folder}, {megabytes(cache.bytes)}; the teacher does not run")
        run.record(name, "float16")
        return True, False, False
    free = _free_bytes(cache.folder.parent)
    total = phase_steps(spec.epochs, config.train_steps, loader.steps_per_epoch)
    reason = None
    if before == "float32":
        reason = "as before"
    elif total < loader.steps_per_epoch:
        reason = "the phase ends before its first epoch does"
    elif cache.bytes > config.teacher_cache_limit_gb * GB:
        reason = f"more than --teacher_cache_limit_gb {config.teacher_cache_limit_gb:g}"
    elif cache.bytes > free / (4 if config.teacher_cache == "auto" else 1):
        reason = "more than a quarter of the free disk" if config.teacher_cache == "auto" else "no room"
    has_room = run.broadcast(reason is None)
    rounded = has_room or before == "float16"
    written = has_room and (config.keep_teacher_cache or total > loader.steps_per_epoch)
    text = f"{title}: {len(cache.lengths)} rows, {megabytes(cache.bytes)}, {megabytes(free)} of disk free; "
    if written:
        log(f"{text}written to {cache.folder} in the first epoch, read in later ones")
    else:
        reason = "no later epoch would read it" if has_room else reason or "decided by rank 0"
        log(f"{text}{'not written' if rounded else 'off'} ({reason}), the teacher runs in every step")
    run.record(name, "float16" if rounded else "float32")
    return rounded, has_room, written


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
