"""This project's side of the comparison, a process's subject (processes.Peer): what task distillation wires.

The stage puts everything together as for a run; only the loop is another, which keeps the phases that it is
handed. Their steps are then fed as the loop feeds them, and timed.
"""

import shutil
import time

import mindspore as ms
import numpy as np

from benchmarks.sst2_lengths import MAX_SEQ_LENGTH, full_dataset, slice_of
from src.config import td_config
from src.data.dataloader import BucketDataLoader
from src.distill.cached_teacher import CachedTeacher
from src.stages.model import load
from src.stages.training.distillation import Distillation
from src.stages.training.run import Run
from src.train.prefetch import run_steps

PHASES = {"first": 0, "later": 0, "step": 0, "phase2": 1}


class KeptPhases:
    """In the place of a run's Trainer: gives each phase to `ready`, and trains nothing."""

    def __init__(self, loop, ready):
        self.agree, self.phases, self._ready = loop.agree, [], ready

    def run(self, phase, done=0):
        """Keep a phase."""
        self.phases.append(phase)
        self._ready(phase)


class OneBatch:
    """A batch again and again, as an epoch."""

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
        distillation = Distillation(self.run_of_stage, files, None, [(data_dir, whole)] * 2)
        self.whole, part = distillation.batches, slice_of(whole, rows)
        # Lengths are chosen for all the rows, as a real run does, and only a slice of them is read.
        distillation.batches = [
            BucketDataLoader(part, batches.batch_size, batches.buckets, shuffle=True, seed=1)
            for batches in self.whole
        ]
        self.run_of_stage.loop = KeptPhases(self.run_of_stage.loop, self._warm)
        self.run_of_stage.open()
        self.distillation, self.turn, self.compiling = distillation, 0, {}

    def prepare(self, phases, warm_up):
        """Compile what the stage trains and warm it up, `warm_up` steps at each length.

        `phases` are what the flags make it train. Answers the seconds of compiling, and the batches of an
        epoch over all of SST-2 by length.
        """
        self.warm_up = warm_up
        self.distillation.distil()
        lengths = [batch.input_ids.shape[1] for batch in self.whole[0].epoch(0)]
        found, counts = np.unique(lengths, return_counts=True)
        seconds = sum(self.compiling.values())
        return {
            "counts": dict(zip(map(str, found), map(int, counts), strict=True)),
            "compile": self.compiling,
            "description": f"lengths {', '.join(map(str, found))}, {seconds:.1f} s of compilation",
        }

    def _warm(self, phase):
        # Before the next phase is put together: both tie the student's dropout to their own optimizer.
        seen = {batch.input_ids.shape[1]: batch for batch in phase.batches.epoch(0)}
        for length, batch in seen.items():
            spans = self._timed(phase, OneBatch(batch, 1 + self.warm_up))
            self.compiling[f"phase {phase.number}, {length}"] = spans[0] - float(np.median(spans[1:]))

    def run(self, task, steps=0):
        """Time an epoch of the slice (`steps` steps of it where that is not 0).

        Answers the length and seconds of each step, and what an epoch takes outside its steps.
        """
        phase = self.run_of_stage.loop.phases[PHASES[task]]
        self.turn += 1
        if task == "first":
            shutil.rmtree(phase.lesson.cache.folder.parent, ignore_errors=True)
            phase.lesson = CachedTeacher(phase.lesson.teacher, phase.lesson.cache, aside=phase.lesson.aside)
        began = time.perf_counter()
        if phase.lesson:
            phase.lesson.begin(whole=True)
        spans = self._timed(phase, phase.batches, steps)
        if phase.lesson:
            phase.lesson.end(whole=True)
        rest = time.perf_counter() - began - sum(spans)
        lengths = (str(batch.input_ids.shape[1]) for batch in phase.batches.epoch(self.turn))
        waited = phase.lesson.waited if phase.lesson else 0.0
        return {"steps": list(zip(lengths, spans, strict=False)), "rest": rest, "waited": waited}

    def _timed(self, phase, batches, steps=0):
        """Seconds from the end of one step to that of the next, over an epoch or `steps` steps."""
        # The learning rate has a value for each step of the phase, and none for the rounds of a benchmark.
        phase.step.optimizer.global_step.set_data(ms.Tensor([0], ms.int32))
        spans, before = [], time.perf_counter()
        most = steps or batches.steps_per_epoch
        for done in run_steps(phase.step, batches, self.turn, 0, most, lesson=phase.lesson):
            done[0][0].asnumpy()  # the loss: waits for the step
            now = time.perf_counter()
            spans.append(now - before)
            before = now
        return spans
