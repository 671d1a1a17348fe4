"""What happens around training steps: throughput, profile, log, evaluation, checkpoints.

The hooks are named as those of mindspore.train.Callback. Order matters: a step is measured and logged, then
evaluated, then saved, since a resumed run takes all that precedes its checkpoint as done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from .checkpoint import Checkpoints
from .logger import RunLogger, Speed
from .profiler import StepProfile
from .throughput import ThroughputMeter
from .trainer import TrainState

if TYPE_CHECKING:
    from mindspore import Tensor

    from .train_step import TrainStep

MIN_SCALE = 1.0
UNREAD_STEPS = 32  # steps whose losses wait on the device


class Callback:
    """Hooks of the training loop; each does nothing unless overridden."""

    def on_train_begin(self, state: TrainState) -> None:
        """Before the first step of a phase, also where a resumed phase has none left."""

    def on_train_epoch_begin(self, state: TrainState) -> None:
        """Before an epoch, or the rest of one in a resumed run."""

    def on_train_step_begin(self, state: TrainState) -> None:
        """Before the batch of a step is fetched."""

    def on_train_step_end(self, state: TrainState) -> None:
        """After a call of the train step: one step, or a chunk of them with data sink."""

    def on_train_epoch_end(self, state: TrainState) -> None:
        """After a complete epoch, or the last step of a phase."""

    def on_train_end(self, state: TrainState) -> None:
        """After the phase, or at an interruption (`state.step` is below the total then)."""


class ThroughputCallback(Callback):
    """Counts examples, tokens and seconds of work; compilation is not counted."""

    def __init__(self, meter: ThroughputMeter) -> None:
        self.meter = meter

    def on_train_step_begin(self, state: TrainState) -> None:
        self.meter.begin()

    def on_train_step_end(self, state: TrainState) -> None:
        self.meter.end()
        self.meter.add(state.inputs.examples, state.inputs.tokens)
        self.meter.waited += state.inputs.seconds[0]


class ProfilerCallback(Callback):
    """Profiles steps with --profile; a step that compiled a graph is left out of the times."""

    def __init__(self, profile: StepProfile, meter: ThroughputMeter) -> None:
        self.profile, self.meter, self._graphs = profile, meter, 0

    def on_train_step_begin(self, state: TrainState) -> None:
        self._graphs = self.meter.graphs
        self.profile.before_step()

    def on_train_step_end(self, state: TrainState) -> None:
        compiled = self.meter.graphs > self._graphs
        seconds = (*state.inputs.seconds, state.step_seconds)
        self.profile.after_step(state.result[0], state.inputs.steps, seconds, compiled)

    def on_train_end(self, state: TrainState) -> None:
        if state.step >= state.phase.total_steps:
            self.profile.end()


class LossWindow:
    """Mean losses of the rows of the last steps, whatever lengths these have.

    `state` {"rows": int, "sums": [loss, *parts]} is that of an earlier window, which goes on in a resumed
    run. Steps whose loss is not finite are left out.
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {"rows": 0, "sums": [0.0]}
        self._rows, self._sums = state["rows"], np.array(state["sums"], np.float64)
        self._unread: list[tuple[Any, Any, int]] = []

    def add(self, loss: Tensor, parts: Tensor, rows: int) -> None:
        """Add a step: its loss [], the parts of it [P], and its number of rows."""
        # Reading a value at once would make the host wait for the device in every step.
        self._unread.append((loss, parts, rows))
        if len(self._unread) >= UNREAD_STEPS:
            self._read()

    def means(self) -> np.ndarray:
        """[1 + P] float64: means of the loss and its parts since the last call; NaN without a finite loss."""
        self._read()
        means = self._sums / self._rows if self._rows else np.full(len(self._sums), np.nan)
        self._rows, self._sums = 0, np.zeros(1)
        return means

    def state(self) -> dict[str, Any]:
        """The window in plain JSON values."""
        self._read()
        return {"rows": self._rows, "sums": self._sums.tolist()}

    def _read(self) -> None:
        for loss, parts, rows in self._unread:
            values = np.append(loss.asnumpy(), parts.asnumpy()).astype(np.float64)
            finite = bool(np.isfinite(values).all())
            self._sums = self._sums + (values * rows if finite else np.zeros(len(values)))
            self._rows += rows * finite
        self._unread = []


class LoggingCallback(Callback):
    """Logs the mean loss every `interval` steps and the time of each epoch; shows the progress on a terminal.

    `part_names` names the values that the step's network returns beside the loss, `log_name` their tuple in
    the log. `window` is the LossWindow of the interval.
    """

    def __init__(
        self,
        logger: RunLogger,
        step: TrainStep,
        interval: int,
        part_names: tuple[str, ...],
        log_name: str = "outputs",
        checkpoint_folder: Path | str = "",
        window: LossWindow | None = None,
    ) -> None:
        self.logger, self.step, self.interval = logger, step, interval
        self.window = window or LossWindow()
        self.part_names, self.log_name, self.checkpoint_folder = part_names, log_name, checkpoint_folder

    def on_train_begin(self, state: TrainState) -> None:
        self._bar = self.logger.bar(state.phase.total_steps, state.step, state.phase.title)

    def on_train_epoch_begin(self, state: TrainState) -> None:
        self._epoch_began, self._speed = time.perf_counter(), Speed()

    def on_train_step_end(self, state: TrainState) -> None:
        self._bar.update(state.inputs.steps)
        self._speed.add(state.inputs.steps, state.inputs.examples)
        self.window.add(state.result[0], state.result[1], state.inputs.examples)
        if state.crossed(self.interval) or state.step >= state.phase.total_steps:
            self._log(state)

    def on_train_epoch_end(self, state: TrainState) -> None:
        elapsed = (time.perf_counter() - self._epoch_began) * 1000
        per_step = elapsed / max(state.step - state.epoch_start, 1)
        self.logger.info(f"epoch time: {elapsed:.3f} ms, per step time: {per_step:.3f} ms")
        cached_teacher = state.phase.cached_teacher
        if cached_teacher and cached_teacher.from_cache:
            share = cached_teacher.read_seconds * 1e5 / elapsed
            self.logger.info(f"waited for the teacher cache: {share:.2f} % of the epoch")

    def on_train_end(self, state: TrainState) -> None:
        self._bar.close()

    def _log(self, state: TrainState) -> None:
        loss, _, overflow, scale = (value.asnumpy() for value in state.result)
        phase, step = state.phase, state.step
        if not math.isfinite(loss) and scale <= MIN_SCALE:
            self._bar.close()
            raise UserError(
                f"the loss is {loss} at step {step} of {phase.title} and no loss scale helps; lower "
                f"--learning_rate; the last good checkpoint is in {self.checkpoint_folder}"
            )
        rate, time_left = self._speed.read(phase.total_steps - step)
        skipped = int(self.step.loss_scale.skipped.asnumpy())
        mean, *parts = self.window.means().tolist()
        named = dict(zip(self.part_names, parts, strict=True))
        part_values = ", ".join(f"{name} {value:.5g}" for name, value in named.items())
        self.logger.info(
            f"epoch: {state.epoch + 1}, step: {step}, {self.log_name} are ({mean:.6g}, "
            f"{bool(overflow)}, {float(scale):g}), {part_values}, skipped steps {skipped}, "
            f"{rate:.1f} examples/s, ETA {time_left}"
        )
        self.logger.log_step(
            phase=phase.number,
            title=phase.title,
            epoch=state.epoch + 1,
            step=step,
            loss=mean,
            parts=named,
            loss_scale=float(scale),
            skipped=skipped,
            examples_per_second=rate,
        )


class EvaluationCallback(Callback):
    """Calls `evaluate(epoch, step)` after each epoch, and every `interval` steps where that is not 0."""

    def __init__(self, evaluate: Callable[[int, int], None], interval: int = 0) -> None:
        self.evaluate, self.interval = evaluate, interval

    def on_train_begin(self, state: TrainState) -> None:
        total = state.phase.total_steps
        if state.step >= total:
            # Resumed after the last step: the metrics are not in the checkpoint, but belong in last/.
            self.evaluate(math.ceil(total / state.phase.loader.steps_per_epoch), total)

    def on_train_step_end(self, state: TrainState) -> None:
        if self.interval and state.crossed(self.interval) and not state.phase.ends_epoch(state.step):
            self.evaluate(state.epoch + 1, state.step)

    def on_train_epoch_end(self, state: TrainState) -> None:
        self.evaluate(state.epoch + 1, state.step)


class CheckpointCallback(Callback):
    """Saves the train step every `interval` steps, after each epoch and at an interruption.

    `extra()` is stored with the position, beside phase and step.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        step: TrainStep,
        interval: int,
        extra: Callable[[], dict] = dict,
    ) -> None:
        self.checkpoints, self.step, self.interval, self.extra = checkpoints, step, interval, extra

    def on_train_step_end(self, state: TrainState) -> None:
        if state.crossed(self.interval) and not state.phase.ends_epoch(state.step):
            self._save(state)

    def on_train_epoch_end(self, state: TrainState) -> None:
        self._save(state)

    def on_train_end(self, state: TrainState) -> None:
        if not state.phase.ends_epoch(state.step):  # interrupted inside an epoch
            self._save(state)

    def _save(self, state: TrainState) -> None:
        self.checkpoints.save(self.step, {"phase": state.phase.number, "step": state.step, **self.extra()})
