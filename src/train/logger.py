"""What a run says: lines in log.txt and on the console, a progress bar, curves for plots and TensorBoard."""

import contextlib
import fcntl
import json
import logging
import math
import sys
import time
from pathlib import Path

from tqdm import tqdm

from ..files import write_text
from .events import event_writer

OF_THE_AXIS = ("phase", "epoch", "step")  # places on a curve, not curves


class RunLogger:
    """The log of one run. What is said before `open` waits for the folder; a resumed run appends."""

    def __init__(self, quiet=False):
        self.quiet = quiet
        self._early, self._log, self._losses, self._events = [], None, None, None
        # What the libraries of this project warn about is for people too.
        logging.basicConfig(level=logging.WARNING, format="warning: %(message)s", stream=sys.stderr)

    def open(self, folder):
        """Begin log.txt, losses.jsonl and events/ (for TensorBoard) in `folder`.

        The log is locked against other processes until it is closed, or this one ends.
        """
        self._log = open(Path(folder) / "log.txt", "a", encoding="utf-8", buffering=1)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.lockf(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._losses = open(Path(folder) / "losses.jsonl", "a", encoding="utf-8", buffering=1)
        self._events = event_writer(Path(folder) / "events")
        for text in self._early:
            self._log.write(text + "\n")

    def info(self, text):
        """One line (or a few) for people."""
        if self._log:
            self._log.write(text + "\n")
        else:
            self._early.append(text)
        if not self.quiet:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def log_step(self, **values):
        """One line of losses.jsonl, and its numbers as curves: `phase1/loss`, `phase1/parts/hidden` ..."""
        if self._losses:
            self._losses.write(json.dumps(values) + "\n")
            for name, value in _numbers(values, OF_THE_AXIS):
                self._events.add_scalar(f"phase{values['phase']}/{name}", value, values["step"])

    def truncate(self, phase, step):
        """Forget what losses.jsonl tells of later steps: a run that was killed goes on from this one."""
        if not self._losses:
            return
        path = Path(self._losses.name)
        kept = [entry for entry in _entries(path) if (entry["phase"], entry["step"]) <= (phase, step)]
        self._losses.close()
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in kept))
        self._losses = open(path, "a", encoding="utf-8", buffering=1)

    def log_metrics(self, metrics):
        """An evaluation's numbers as curves: `eval/eval_accuracy` ..."""
        if self._events:
            for name, value in _numbers(metrics, OF_THE_AXIS):
                self._events.add_scalar(f"eval/{name}", value, metrics["step"])

    def bar(self, total, start, title):
        """A progress bar with ETA on a terminal; nothing where output goes to a file."""
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

    def close(self):
        """Close the files."""
        for file in filter(None, (self._log, self._losses, self._events)):
            file.close()


def _entries(path):
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # a killed run may leave half a line
            yield json.loads(line)


def _numbers(values, without):
    """(name, number) of a dict and the dicts in it, their names joined by /."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{inner}", number) for inner, number in _numbers(value, ()))
        elif isinstance(value, (int, float)) and name not in without:
            yield name, value


class Speed:
    """Examples a second since the last line of the log, and the time left at that rate."""

    def __init__(self):
        self.since = time.perf_counter()
        self.steps = self.examples = 0

    def add(self, steps, examples):
        """Count steps and the examples in them."""
        self.steps += steps
        self.examples += examples

    def read(self, steps_left):
        """(examples a second, ETA as h:mm:ss); starts a new stretch."""
        seconds = max(time.perf_counter() - self.since, 1e-9)
        rate, left = self.examples / seconds, steps_left * seconds / max(self.steps, 1)
        self.since, self.steps, self.examples = time.perf_counter(), 0, 0
        return rate, clock(left)


def clock(seconds):
    """Seconds as h:mm:ss."""
    whole = math.ceil(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
