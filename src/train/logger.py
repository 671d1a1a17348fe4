"""The log of a run: lines in log.txt and on the console, a progress bar, curves for plots and TensorBoard."""

import contextlib
import json
import logging
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..errors import WriteError, describe_system_error
from ..files import relative_paths, try_lock, write_text
from ..json_reader import parse_json
from .append_file import AppendFile
from .curves.tensorboard import EventFile, truncate_events

LOG = logging.getLogger(__name__)
AXIS_KEYS = ("phase", "epoch", "step")  # places on a curve, not curves


class RunLogger:
    """The log of one run. Lines logged before `open` are kept for the file; a resumed run appends."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._early: list[str] = []
        self._log: AppendFile | None = None
        self._losses: AppendFile | None = None
        self._events: EventFile | None = None
        # Warnings of this project's modules are for users too.
        logging.basicConfig(level=logging.WARNING, format="warning: %(message)s", stream=sys.stderr)

    def open(self, folder: Path | str, last: tuple[int, int] | None = None) -> None:
        """Open log.txt, losses.jsonl and events/ (for TensorBoard) in `folder`.

        The run goes on without a file that the system refuses. `last` (phase, step): later steps are dropped
        from losses.jsonl and events/, since a resumed run repeats them. The log stays locked against other
        processes until `close`, or the end of this process.
        """
        log, losses, events = (Path(folder) / name for name in ("log.txt", "losses.jsonl", "events"))
        self._log = AppendFile(log, warn_refused)
        with contextlib.suppress(ValueError):  # a file that was refused
            try_lock(self._log.handle)
        if last:
            try:
                truncate_losses(losses, *last)
                truncate_events(events, *last)
            except (OSError, WriteError) as error:
                LOG.warning("steps after step %d of phase %d are logged twice: %s", last[1], last[0], error)
        self._losses = AppendFile(losses, warn_refused)
        self._events = EventFile(events, warn_refused)
        for text in self._early:
            self._log.write(text + "\n")

    def info(self, text: str) -> None:
        """Log one line, or a few; paths below the working folder are shown relative to it."""
        text = relative_paths(text)
        if self._log:
            self._log.write(text + "\n")
        else:
            self._early.append(text)
        if not self.quiet:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def log_step(self, **values: Any) -> None:
        """Append a line to losses.jsonl, and points to the curves `phase1/loss`, `phase1/parts/hidden` ..."""
        if self._losses and self._events:
            self._losses.write(json.dumps(values) + "\n")
            scalars = {f"phase{values['phase']}/{name}": value for name, value in _scalars(values, AXIS_KEYS)}
            self._events.add_scalars(scalars, values["step"])

    def log_metrics(self, metrics: dict[str, Any]) -> None:
        """Append the metrics of an evaluation to the curves `eval/eval_accuracy` ..."""
        if self._events:
            scalars = {f"eval/{name}": value for name, value in _scalars(metrics, AXIS_KEYS)}
            self._events.add_scalars(scalars, metrics["step"])

    def bar(self, total: int, start: int, title: str) -> tqdm:
        """A progress bar with ETA on a terminal; disabled where output goes to a file."""
        return tqdm(
            total=total,
            initial=start,
            desc=title,
            unit="step",
            disable=self.quiet or None,
            leave=False,
            file=sys.stdout,
            dynamic_ncols=True,
        )

    def close(self) -> None:
        """Close the files."""
        files: list[AppendFile | EventFile | None] = [self._log, self._losses, self._events]
        for file in files:
            if file:
                file.close()


def warn_refused(path: Path, error: OSError) -> None:
    """Say that the run goes on without one of its logs."""
    LOG.warning("%s cannot be written (%s); the run goes on without it", path, describe_system_error(error))


def truncate_losses(path: Path, phase: int, step: int) -> None:
    """Drop from losses.jsonl what comes after a step of a phase, and what a killed run left of a line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):  # half a line
            entry = parse_json(line)
            if (entry["phase"], entry["step"]) <= (phase, step):
                kept.append(line)
    write_text(path, "".join(f"{line}\n" for line in kept))


def _scalars(values: dict[str, Any], skipped: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    """(name, number) of a dict and its nested dicts, whose names are joined by /."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{inner}", number) for inner, number in _scalars(value, ()))
        elif isinstance(value, (int, float)) and name not in skipped:
            yield name, value


class Speed:
    """Examples per second since the last line of the log, and the time left at that rate."""

    def __init__(self) -> None:
        self.since = time.perf_counter()
        self.steps = self.examples = 0

    def add(self, steps: int, examples: int) -> None:
        """Count steps and their examples."""
        self.steps += steps
        self.examples += examples

    def read(self, steps_left: int) -> tuple[float, str]:
        """Return (examples per second, ETA as h:mm:ss) and start a new interval."""
        seconds = max(time.perf_counter() - self.since, 1e-9)
        rate, left = self.examples / seconds, steps_left * seconds / max(self.steps, 1)
        self.since, self.steps, self.examples = time.perf_counter(), 0, 0
        return rate, clock(left)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    whole = math.ceil(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
