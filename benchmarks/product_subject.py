"""This project's side of the comparison, the subject of a process (processes.Peer): task distillation.

The stage is assembled as for a run, with a trainer that keeps the phases instead of training them. Their
steps are then fed as in the training loop, and timed.
"""

import shutil
import time
import unittest.mock

import mindspore as ms
import numpy as np

from benchmarks.sst2_lengths import MAX_SEQ_LENGTH, full_dataset, slice_of
from src.config import td_config
from src.data.dataloader import BucketDataLoader
from src.distill.cached_teacher import CachedTeacher
from src.stages.model import load
from src.stages.training.fit import train_phase
from src.stages.training.run import Run
from src.stages.training.task_distill import Distillation
from src.train.prefetch import step_inputs

PHASES = {"first": 0, "later": 0, "step": 0, "phase2": 1}


class PhaseRecorder:
    """Replaces the Trainer of a run: passes each phase to `ready` and trains nothing."""

    def __init__(self, trainer, ready):
        self.any_rank, self.phases, self._ready = trainer.any_rank, [], ready

    def run(self, phase, callbacks=(), start_step=0):
        """Record a phase."""
        self.phases.append(phase)
        self._ready(phase)


class OneBatch:
    """One batch, repeated, as an epoch."""

    def __init__(self, batch, times):
        self.batch, self.steps_per_epoch, self.batch_size = batch, times, len(batch.rows)

    def epoch(self, epoch, skip=0):
        """The batches from `skip` on."""
        return iter([self.batch] * (self.steps_per_epoch - skip))


class Product:
    """Task distillation of a student preset from the teacher in a folder, on a slice of SST-2's lengths.

    `flags` are more of run_task_distill.py; the output goes below `folder`.
    """

    def __init__(self, teacher, student, data_dir, rows, folder, flags):
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
        self.run_of_stage = Run("task_distill", task, resolved)
        log = self.run_of_stage.logger.info
        whole = full_dataset(data_dir)
        files = load.read_model(teacher, log)
        with unittest.mock.patch("src.data.splits.read_split", lambda *arguments: whole):
            distillation = Distillation(self.run_of_stage, files, None)
        self.whole, part = distillation.loaders, slice_of(whole, rows)
        # Buckets are chosen for all rows, as in a real run, and only a slice of the rows is read.
        distillation.loaders = [
            BucketDataLoader(part, loader.batch_size, loader.buckets, shuffle=True, seed=1)
            for loader in self.whole
        ]
        self.run_of_stage.trainer = PhaseRecorder(self.run_of_stage.trainer, self._warm)
        self.run_of_stage.open()
        self.distillation, self.turn, self.compiling = distillation, 0, {}

    def prepare(self, phases, warm_up):
        """Compile what the stage trains and warm it up, `warm_up` steps at each length.

        `phases` are those that the flags select. Returns compile seconds, and the batches of an epoch
        over all of SST-2 by length.
        """
        self.warm_up = warm_up
        if self.distillation.match:
            train_phase(self.run_of_stage, *self.distillation.phase1())
        train_phase(self.run_of_stage, *self.distillation.phase2())
        lengths = [batch.input_ids.shape[1] for batch in self.whole[0].epoch(0)]
        found, counts = np.unique(lengths, return_counts=True)
        seconds = sum(self.compiling.values())
        return {
            "counts": dict(zip(map(str, found), map(int, counts), strict=True)),
            "compile": self.compiling,
            "description": f"lengths {', '.join(map(str, found))}, {seconds:.1f} s of compilation",
        }

    def _warm(self, phase):
        # Before the next phase is assembled: both bind the student's dropout to their own optimizer.
        seen = {batch.input_ids.shape[1]: batch for batch in phase.loader.epoch(0)}
        for length, batch in seen.items():
            spans = self._timed(phase, OneBatch(batch, 1 + self.warm_up))
            self.compiling[f"phase {phase.number}, {length}"] = spans[0] - float(np.median(spans[1:]))

    def run(self, task, steps=0):
        """Time an epoch of the slice (`steps` steps of it where that is not 0).

        Returns the length and seconds of each step, and the time of an epoch outside its steps.
        """
        phase = self.run_of_stage.trainer.phases[PHASES[task]]
        self.turn += 1
        if task == "first":
            last = phase.cached_teacher
            shutil.rmtree(last.cache.folder.parent, ignore_errors=True)
            phase.cached_teacher = CachedTeacher(last.teacher, last.cache, logits_cache=last.logits_cache)
        began, teacher = time.perf_counter(), phase.cached_teacher
        if teacher:
            teacher.begin(whole=True)
        spans = self._timed(phase, phase.loader, steps)
        if teacher:
            teacher.end(whole=True)
        rest = time.perf_counter() - began - sum(spans)
        lengths = (str(batch.input_ids.shape[1]) for batch in phase.loader.epoch(self.turn))
        waited = teacher.read_seconds if teacher else 0.0
        return {"steps": list(zip(lengths, spans, strict=False)), "rest": rest, "waited": waited}

    def _timed(self, phase, loader, steps=0):
        """Seconds from the end of one step to that of the next, over an epoch or `steps` steps."""
        # The learning rate has a value for each step of the phase, but none for the rounds of a benchmark.
        phase.step.cell.optimizer.global_step.set_data(ms.Tensor([0], ms.int32))
        spans, before = [], time.perf_counter()
        limit = steps or loader.steps_per_epoch
        inputs = step_inputs(phase.step, loader, self.turn, 0, limit, cached_teacher=phase.cached_teacher)
        for each in inputs:
            loss = each.call(*each.inputs)[0]
            loss.asnumpy()  # waits for the step
            now = time.perf_counter()
            spans.append(now - before)
            before = now
        return spans
