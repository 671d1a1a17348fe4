"""The log of a run: lines in log.txt and on the console, a progress bar, curves for plots and TensorBoard."""

import contextlib
import fcntl
import json
import logging
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from ..files import relative_paths, write_text

AXIS_KEYS = ("phase", "epoch", "step")  # places on a curve, not curves


class RunLogger:
    """The log of one run. Lines logged before `open` are kept for the file; a resumed run appends."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._early: list[str] = []
        self._log: TextIO | None = None
        self._losses: TextIO | None = None
        self._events: Any = None
        # Warnings of this project's modules are for users too.
        logging.basicConfig(level=logging.WARNING, format="warning: %(message)s", stream=sys.stderr)

    def open(self, folder: Path | str) -> None:
        """Open log.txt, losses.jsonl and events/ (for TensorBoard) in `folder`.

        The log stays locked against other processes until `close`, or the end of this process.
        """
        self._log = open(Path(folder) / "log.txt", "a", encoding="utf-8", buffering=1)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.lockf(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._losses = open(Path(folder) / "losses.jsonl", "a", encoding="utf-8", buffering=1)
        self._events = event_writer(Path(folder) / "events")
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
        if self._losses:
            self._losses.write(json.dumps(values) + "\n")
            for name, value in _scalars(values, AXIS_KEYS):
                self._events.add_scalar(f"phase{values['phase']}/{name}", value, values["step"])

    def log_metrics(self, metrics: dict[str, Any]) -> None:
        """Append the metrics of an evaluation to the curves `eval/eval_accuracy` ..."""
        if self._events:
            for name, value in _scalars(metrics, AXIS_KEYS):
                self._events.add_scalar(f"eval/{name}", value, metrics["step"])

    def truncate(self, phase: int, step: int) -> None:
        """Drop later steps from losses.jsonl: a resumed run repeats them."""
        if not self._losses:
            return
        path = Path(self._losses.name)
        kept = [entry for entry in _entries(path) if (entry["phase"], entry["step"]) <= (phase, step)]
        self._losses.close()
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in kept))
        self._losses = open(path, "a", encoding="utf-8", buffering=1)

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
        for file in filter(None, (self._log, self._losses, self._events)):
            file.close()


def event_writer(folder: Path) -> Any:
    """A tensorboardX SummaryWriter in `folder`.

    tensorboardX imports PyTorch where it is installed, to convert tensors that this project does not have:
    0.13 GB of memory and more than a second at each start.
    """
    absent = "torch" not in sys.modules
    if absent:
        sys.modules["torch"] = None  # type: ignore[assignment]  # makes `import torch` raise ImportError
    try:
        from tensorboardX import SummaryWriter
    finally:
        if absent:
            del sys.modules["torch"]
    return SummaryWriter(str(folder), flush_secs=10)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # a killed run may leave half a line
            yield json.loads(line)


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
