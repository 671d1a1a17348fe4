"""The one training loop: epochs of batches through the train step, with callbacks around both."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_INTERRUPTED, Interrupted
from .prefetch import StepInputs, step_inputs
from .signals import StopSignal

if TYPE_CHECKING:
    from ..data.dataloader import BucketDataLoader
    from ..distill.cached_teacher import CachedTeacher
    from .callbacks import Callback

STOP_CHECK_STEPS = 10  # steps between two checks of several ranks for a stop signal


@dataclasses.dataclass
class TrainPhase:
    """A train step over the batches of a loader for a number of epochs, or of steps where that is not -1.

    `number` is 1 or 2 in checkpoints and log; `sink_steps` as in prefetch.step_inputs; `cached_teacher`
    supplies the outputs of a teacher outside the step's network.
    """

    number: int
    title: str
    step: Callable[..., Any]
    loader: BucketDataLoader
    epochs: int
    max_steps: int
    sink_steps: int = 0
    cached_teacher: CachedTeacher | None = None

    @property
    def total_steps(self) -> int:
        """Steps of the whole phase."""
        return phase_steps(self.epochs, self.max_steps, self.loader.steps_per_epoch)

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch, or the phase, is complete after `step` steps."""
        return step % self.loader.steps_per_epoch == 0 or step >= self.total_steps


def phase_steps(epochs: int, max_steps: int, steps_per_epoch: int) -> int:
    """Steps of `epochs` epochs, or `max_steps` where that is not -1; 0 without epochs."""
    return epochs * steps_per_epoch if max_steps < 0 or not epochs else max_steps


@dataclasses.dataclass
class TrainState:
    """The state of a phase, as passed to callbacks.

    `step` counts completed steps, `epoch` from 0; `previous_step` precedes the last call of the train step,
    `epoch_start` is the step where this process began the epoch. `inputs`, `result` (loss, parts, overflow,
    scale) and `step_seconds` are those of the last call.
    """

    phase: TrainPhase
    step: int
    epoch: int = 0
    previous_step: int = 0
    epoch_start: int = 0
    inputs: StepInputs = StepInputs(len, (), 0, 0, 0, (0.0, 0.0, 0.0))
    result: tuple = ()
    step_seconds: float = 0.0

    def crossed(self, interval: int) -> bool:
        """Whether the last call of the train step passed a multiple of `interval`."""
        return self.previous_step // interval != self.step // interval


class Trainer:
    """Trains phase after phase. `resume_command` is printed on Ctrl+C.

    `any_rank` turns each rank's request to stop into one decision (see distributed.any_rank; None: a single
    process).
    """

    def __init__(self, resume_command: str, any_rank: Callable[[bool], bool] | None = None) -> None:
        self.resume_command = resume_command
        self.any_rank = any_rank
        self._stopped = False  # a signal after a phase's last step: the next phase does not start
        self._exit_code = EXIT_INTERRUPTED

    def run(self, phase: TrainPhase, callbacks: Sequence[Callback] = (), start_step: int = 0) -> None:
        """Train from `start_step` (not 0 in a resumed run) to the end. Raises Interrupted on Ctrl+C."""
        if self._stopped:
            raise self._interrupted(f"before {phase.title}", self._exit_code)
        state, stop_now = TrainState(phase, start_step), False
        per_epoch, total, teacher = phase.loader.steps_per_epoch, phase.total_steps, phase.cached_teacher
        _call(callbacks, "on_train_begin", state)
        with StopSignal() as stop:
            while state.step < total and not stop_now:
                state.epoch, state.epoch_start = state.step // per_epoch, state.step
                _call(callbacks, "on_train_epoch_begin", state)
                with _teacher_epoch(teacher, state), contextlib.closing(_epoch_inputs(state)) as epoch_inputs:
                    while True:
                        _call(callbacks, "on_train_step_begin", state)
                        state.inputs = next(epoch_inputs)
                        began = time.perf_counter()
                        state.result = state.inputs.call(*state.inputs.inputs)
                        state.step_seconds = time.perf_counter() - began
                        state.previous_step, state.step = state.step, state.step + state.inputs.steps
                        _call(callbacks, "on_train_step_end", state)
                        stop_now = self._should_stop(stop.requested, state.crossed(STOP_CHECK_STEPS))
                        if stop_now or phase.ends_epoch(state.step):
                            break
                if phase.ends_epoch(state.step):
                    # A complete epoch is evaluated before the run stops: a resumed run starts the next one.
                    _call(callbacks, "on_train_epoch_end", state)
            _call(callbacks, "on_train_end", state)
            if state.step < total:
                raise self._interrupted(f"at step {state.step} of {phase.title}", stop.exit_code)
            self._stopped, self._exit_code = self._should_stop(stop.requested), stop.exit_code

    def _should_stop(self, requested: bool, all_ranks_check: bool = True) -> bool:
        """Whether to stop: requested in this process, or in any rank where all of them check."""
        if self.any_rank is None:
            return requested
        return all_ranks_check and self.any_rank(requested)

    def _interrupted(self, where: str, exit_code: int) -> Interrupted:
        message = f"interrupted {where}, state saved; resume with:\n  {self.resume_command}"
        return Interrupted(message, exit_code)


@contextlib.contextmanager
def _teacher_epoch(teacher: CachedTeacher | None, state: TrainState) -> Iterator[None]:
    """An epoch of the cache of a teacher: kept if it is whole, discarded where training fails."""
    if not teacher:
        yield
        return
    per_epoch = state.phase.loader.steps_per_epoch
    teacher.begin(whole=state.step % per_epoch == 0)
    try:
        yield
        teacher.end(whole=state.step % per_epoch == 0)
    except BaseException:
        teacher.abandon()
        raise


def _epoch_inputs(state: TrainState) -> Any:
    """The step inputs of the rest of an epoch, as a generator that can be closed."""
    phase, skip = state.phase, state.step % state.phase.loader.steps_per_epoch
    limit = phase.total_steps - state.step
    return step_inputs(
        phase.step, phase.loader, state.epoch, skip, limit, phase.sink_steps, phase.cached_teacher
    )


def _call(callbacks: Sequence[Callback], hook: str, state: TrainState) -> None:
    for callback in callbacks:
        getattr(callback, hook)(state)
