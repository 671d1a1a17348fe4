"""The one training loop: epochs of batches through the train step, with log, checkpoints and evaluation."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable

from ..errors import Interrupted, UserError
from .logger import Speed
from .prefetch import run_steps
from .signals import StopSignal

LOWEST_SCALE = 1.0
AGREED_EVERY = 10  # steps after which several ranks ask each other whether to stop


@dataclasses.dataclass
class TrainPhase:
    """One stretch of training: a train step over batches for a number of epochs or steps.

    `parts` names the values that the step's network returns beside the loss; `evaluate(epoch, step)` runs
    after each epoch (None: never), and every `eval_steps` steps where that is not 0; `number` is 1 or 2 in
    checkpoints and log; `sink_steps` as in fed_steps. `lesson` gives each batch the answers of a teacher that
    is not in the network (CachedTeacher); it is told where epochs begin and end. `graph`
    is what runs the step where that is not the step itself; `meter` (ThroughputMeter) counts what is
    done, `profile` (StepProfile) says where the time of some steps goes; what `noted()` gives
    goes into the checkpoints, beside phase and step.
    """

    number: int
    title: str
    step: object
    batches: object
    epochs: int
    max_steps: int
    parts: tuple
    evaluate: Callable | None = None
    log_name: str = "outputs"
    sink_steps: int = 0
    eval_steps: int = 0
    lesson: object = None
    graph: Callable | None = None
    meter: object = None
    profile: object = None
    noted: Callable = dict

    @property
    def total_steps(self):
        """Steps of the whole phase."""
        return phase_steps(self.epochs, self.max_steps, self.batches.steps_per_epoch)

    def ends_epoch(self, step):
        """Whether an epoch, or the phase, is complete after `step` steps."""
        return step % self.batches.steps_per_epoch == 0 or step >= self.total_steps


def phase_steps(epochs, max_steps, steps_per_epoch):
    """Steps of `epochs` epochs, or `max_steps` when that is not -1; no epochs are no steps in either case."""
    return epochs * steps_per_epoch if max_steps < 0 or not epochs else max_steps


class Trainer:
    """Runs phases. `options` has logging_step and save_ckpt_step; `resume_command` is printed on Ctrl+C.

    `agree` makes one decision of several ranks' wishes (see distributed.agreement; None: a single process).
    """

    def __init__(self, logger, checkpoints, options, resume_command, agree=None):
        self.logger = logger
        self.checkpoints = checkpoints
        self.options = options
        self.resume_command = resume_command
        self.agree = agree
        self._stopped = False  # Ctrl+C came too late for a phase to break off: the next one does not begin

    def run(self, phase, done=0):
        """Train from step `done` (where a resumed run stands) to the end. Raises Interrupted on Ctrl+C."""
        per_epoch, total, step = phase.batches.steps_per_epoch, phase.total_steps, done
        stopping = False
        if self._stopped:
            raise self._interrupted(f"before {phase.title}")
        if done >= total and phase.evaluate:
            # Resumed when all was done: the metrics are not in the checkpoint, and go into last/.
            phase.evaluate(math.ceil(total / per_epoch), total)
        with StopSignal() as stop, self.logger.bar(total, done, phase.title) as bar:
            while step < total:
                epoch, first, began = step // per_epoch, step, time.perf_counter()
                if phase.lesson:
                    phase.lesson.begin(whole=step % per_epoch == 0)
                for done_now in self._steps(phase, epoch, first, bar):
                    before, step = step, done_now
                    stopping = self._agreed(stop.asked, _crossed(before, step, AGREED_EVERY))
                    if stopping or step == total:
                        break
                if phase.lesson:
                    phase.lesson.end(whole=step % per_epoch == 0)
                # An epoch that is complete is evaluated before the run stops: resuming begins the next one.
                if phase.ends_epoch(step):
                    self._end_of_epoch(phase, epoch, step, first, began)
                else:
                    self._save(phase, step)
                if stopping and step < total:
                    raise self._interrupted(f"at step {step} of {phase.title}")
            self._stopped = self._agreed(stop.asked)

    def _agreed(self, wish, asking=True):
        """Whether to stop: this process's wish, or what all ranks came to where they are asking."""
        if self.agree is None:
            return wish
        return asking and self.agree(wish)

    def _interrupted(self, where):
        return Interrupted(f"interrupted {where}, state saved; to go on:\n  {self.resume_command}")

    def _steps(self, phase, epoch, step, bar):
        """Run the rest of an epoch from `step` on; yields the number of steps done after each."""
        speed, skip = Speed(), step % phase.batches.steps_per_epoch
        most = phase.total_steps - step
        run_step = phase.graph or phase.step
        fed = run_steps(run_step, phase.batches, epoch, skip, most, phase.sink_steps, phase.lesson)
        for done in measured(fed, phase):
            before, step = step, step + done.steps
            bar.update(done.steps)
            speed.add(done.steps, done.examples)
            if _crossed(before, step, self.options.logging_step) or step >= phase.total_steps:
                self._log(phase, epoch, step, done.result, speed)
            if not phase.ends_epoch(step):
                self._within_epoch(phase, epoch, before, step)
            yield step

    # Within an epoch and at its end a step is evaluated first and saved then: a resumed run takes all that
    # lies before its checkpoint for done.

    def _within_epoch(self, phase, epoch, before, step):
        if phase.evaluate and phase.eval_steps and _crossed(before, step, phase.eval_steps):
            phase.evaluate(epoch + 1, step)
        if _crossed(before, step, self.options.save_ckpt_step):
            self._save(phase, step)

    def _end_of_epoch(self, phase, epoch, step, first, began):
        milliseconds = (time.perf_counter() - began) * 1000
        self.logger.info(
            f"epoch time: {milliseconds:.3f} ms, per step time: {milliseconds / max(step - first, 1):.3f} ms"
        )
        if phase.lesson and phase.lesson.reads:
            share = phase.lesson.waited * 1e5 / milliseconds
            self.logger.info(f"waited for the teacher cache: {share:.2f} % of the epoch")
        if phase.evaluate:
            phase.evaluate(epoch + 1, step)
        self._save(phase, step)

    def _save(self, phase, step):
        self.checkpoints.save(phase.step, {"phase": phase.number, "step": step, **phase.noted()})

    def _log(self, phase, epoch, step, result, speed):
        loss, parts, overflow, scale = (value.asnumpy() for value in result)
        if not math.isfinite(loss) and scale <= LOWEST_SCALE:
            raise UserError(
                f"the loss is {loss} at step {step} of {phase.title} and no loss scale helps; lower "
                f"--learning_rate; the last good checkpoint is in {self.checkpoints.folder}"
            )
        rate, left = speed.read(phase.total_steps - step)
        skipped = int(phase.step.loss_scale.skipped.asnumpy())
        named = dict(zip(phase.parts, (float(value) for value in parts), strict=True))
        shown = ", ".join(f"{name} {value:.5g}" for name, value in named.items())
        self.logger.info(
            f"epoch: {epoch + 1}, step: {step}, {phase.log_name} are ({float(loss):.6g}, {bool(overflow)}, "
            f"{float(scale):g}), {shown}, skipped steps {skipped}, {rate:.1f} examples/s, ETA {left}"
        )
        self.logger.log_step(
            phase=phase.number,
            title=phase.title,
            epoch=epoch + 1,
            step=step,
            loss=float(loss),
            parts=named,
            loss_scale=float(scale),
            skipped=skipped,
            examples_per_second=rate,
        )


def measured(fed, phase):
    """The steps of `fed`, each counted and its time taken by the phase's meter where it has one."""
    meter, profile, steps = phase.meter, phase.profile, iter(fed)
    while True:
        graphs = meter.graphs if meter else 0
        if profile:
            profile.before_step()
        with meter.working() if meter else contextlib.nullcontext():
            done = next(steps, None)
        if done is None:
            return
        if meter:
            meter.add(done.examples, done.tokens)
            meter.waited += done.seconds[0]
        if profile:
            profile.after_step(done, compiled=bool(meter) and meter.graphs > graphs)
        yield done


def _crossed(before, after, every):
    return before // every != after // every
