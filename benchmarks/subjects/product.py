"""This project's side of the comparison, a subject for processes.Peer: task distillation.

The stage is assembled as in a real run, but its trainer records the phases instead of training them. Their
steps are then fed as in the training loop and timed.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import mindspore as ms
import numpy as np

from benchmarks.sst2_lengths import MAX_SEQ_LENGTH, full_dataset, slice_of
from src.config import td_config
from src.data.dataloader import Batch, BucketDataLoader
from src.distill.cached_teacher import CachedTeacher
from src.stages.model import load
from src.stages.training.fit import train_phase
from src.stages.training.run import Run
from src.stages.training.task_distill import Distillation
from src.train.callbacks import Callback
from src.train.prefetch import step_inputs
from src.train.throughput import CompiledCell
from src.train.trainer import TrainPhase

PHASES = {"first": 0, "later": 0, "step": 0, "phase2": 1}


class PhaseRecorder:
    """Replaces the Trainer of a run: passes each phase to `on_phase` and trains nothing."""

    def __init__(self, on_phase: Callable[[TrainPhase], None]) -> None:
        self._on_phase = on_phase
        self.phases: list[TrainPhase] = []

    def run(self, phase: TrainPhase, callbacks: Sequence[Callback] = (), start_step: int = 0) -> None:
        """Record a phase."""
        self.phases.append(phase)
        self._on_phase(phase)


class OneBatch:
    """A data loader that repeats one batch."""

    def __init__(self, batch: Batch, times: int) -> None:
        self.batch, self.steps_per_epoch, self.batch_size = batch, times, len(batch.rows)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """Iterate over the batches from `skip` on."""
        return iter([self.batch] * (self.steps_per_epoch - skip))


class Product:
    """Task distillation of a student preset from a teacher directory, on a slice of SST-2's rows.

    `flags` are additional flags of run_task_distill.py; output goes to `folder`.
    """

    def __init__(
        self, teacher: str, student: str, data_dir: str, rows: int, folder: str, flags: Mapping[str, Any]
    ) -> None:
        flags = {
            "task_name": "SST-2",
            "load_teacher_ckpt_path": teacher,
            "student_preset": student,
            "train_data_dir": data_dir or "random",
            "seq_length": MAX_SEQ_LENGTH,
            "output_dir": f"{folder}/run",
            "do_eval": "false",
            "td_phase1_epoch_size": 10,
            "td_phase2_epoch_size": 3,
            **flags,
        }
        task, resolved = td_config.resolve([f"--{name}={value}" for name, value in flags.items()])
        self.stage_run = Run("task_distill", task, resolved)
        dataset = full_dataset(data_dir)
        files = load.read_model(teacher, self.stage_run.logger.info)
        with mock.patch("src.data.splits.read_split", lambda *arguments: dataset):
            self.distillation = Distillation(self.stage_run, files, None)
        self.full_loaders, part = self.distillation.loaders, slice_of(dataset, rows)
        # Buckets are chosen for all rows, as in a real run, but only a slice of the rows is read.
        self.distillation.loaders = [
            BucketDataLoader(part, loader.batch_size, loader.buckets, shuffle=True, seed=1)
            for loader in self.full_loaders
        ]
        self.recorder = PhaseRecorder(self._warm_up)
        self.stage_run.trainer = self.recorder  # type: ignore[assignment]
        self.stage_run.open()
        self.epochs = 0
        self.compile_seconds: dict[str, float] = {}

    def prepare(self, phases: Sequence[int], warm_up: int) -> dict[str, Any]:
        """Compile all phases and run `warm_up` steps at each length.

        `phases` is unused: the flags select the phases. Returns compile times, and the number of batches of
        each length in an epoch over all of SST-2.
        """
        self.warm_up = warm_up
        if self.distillation.match:
            train_phase(self.stage_run, *self.distillation.phase1())
        train_phase(self.stage_run, *self.distillation.phase2())
        lengths, counts = np.unique(
            [batch.input_ids.shape[1] for batch in self.full_loaders[0].epoch(0)], return_counts=True
        )
        seconds = sum(self.compile_seconds.values())
        return {
            "counts": dict(zip(map(str, lengths), map(int, counts), strict=True)),
            "compile": self.compile_seconds,
            "description": f"lengths {', '.join(map(str, lengths))}, {seconds:.1f} s of compilation",
        }

    def _warm_up(self, phase: TrainPhase) -> None:
        # Runs before the next phase is assembled: each binds the student's dropout to its own optimizer.
        by_length = {batch.input_ids.shape[1]: batch for batch in phase.loader.epoch(0)}
        for length, batch in by_length.items():
            first, *rest = self._step_seconds(phase, OneBatch(batch, 1 + self.warm_up))
            self.compile_seconds[f"phase {phase.number}, {length}"] = first - float(np.median(rest))

    def run(self, task: str, steps: int = 0) -> dict[str, Any]:
        """Time an epoch over the slice, or its first `steps` steps unless 0.

        Returns (length, seconds) of each step, and the time of an epoch outside its steps.
        """
        phase = self.recorder.phases[PHASES[task]]
        self.epochs += 1
        if task == "first":
            previous = phase.cached_teacher
            assert previous, "the task needs the teacher cache"
            shutil.rmtree(previous.cache.folder.parent, ignore_errors=True)
            phase.cached_teacher = CachedTeacher(
                previous.teacher, previous.cache, logits_cache=previous.logits_cache
            )
        began, teacher = time.perf_counter(), phase.cached_teacher
        if teacher:
            teacher.begin(whole=True)
        seconds = self._step_seconds(phase, phase.loader, steps)
        if teacher:
            teacher.end(whole=True)
        rest = time.perf_counter() - began - sum(seconds)
        lengths = (str(batch.input_ids.shape[1]) for batch in phase.loader.epoch(self.epochs))
        return {"steps": list(zip(lengths, seconds, strict=False)), "rest": rest}

    def _step_seconds(
        self, phase: TrainPhase, loader: BucketDataLoader | OneBatch, steps: int = 0
    ) -> list[float]:
        """Measure the time from one step's end to the next step's, over an epoch or `steps` steps."""
        # The learning rate schedule ends with the phase, but a benchmark runs more steps.
        assert isinstance(phase.step, CompiledCell)
        phase.step.cell.optimizer.global_step.set_data(ms.Tensor([0], ms.int32))
        seconds, began = [], time.perf_counter()
        limit, teacher = steps or loader.steps_per_epoch, phase.cached_teacher
        calls = step_inputs(phase.step, loader, self.epochs, 0, limit, cached_teacher=teacher)  # type: ignore[arg-type]
        for inputs in calls:
            inputs.call(*inputs.inputs)[0].asnumpy()  # reading the loss waits for the step
            ended = time.perf_counter()
            seconds.append(ended - began)
            began = ended
        return seconds
