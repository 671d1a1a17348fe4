"""--profile N: the time of N steps by operator, and by what the step is waiting for."""

import contextlib
import csv
import io
import logging
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mindspore import Tensor, profiler

from ..files import write_text

WARM_UP = 10  # steps before profiling starts: graphs are compiled, and their slow first runs are over
SHOWN = 10
PARTS = ("waiting for data", "teacher", "to the device", "train step", "reading back", "the rest")
Operator = tuple[str, int, float]  # name, calls, milliseconds


class StepProfile:
    """Profiles `steps` of the `left` steps of a phase with MindSpore's profiler; results do not change.

    Profiling starts after the warm-up, where enough steps are left. Tables go to files whose paths begin with
    `tables` (None: nowhere), the largest operators to `log`.
    """

    def __init__(self, steps: int, left: int, tables: Path | None, log: Callable[[str], None]) -> None:
        self.steps, self.tables, self._log = steps, tables, log
        self._first, self._done = max(0, min(WARM_UP, left - steps)), 0
        self._profiler: Any = None
        self._raw: tempfile.TemporaryDirectory | None = None
        self._seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._counted, self._began = 0, 0.0

    def before_step(self) -> None:
        """Called before each step."""
        if self._done == self._first and self._profiler is None:
            self._raw = tempfile.TemporaryDirectory()
            with _without_warnings():
                # The handler only sets the path: writing its own tables takes a process and minutes.
                profiler.tensorboard_trace_handler(self._raw.name)
                self._profiler = profiler.profile(
                    activities=[profiler.ProfilerActivity.CPU], start_profile=False
                )
                self._profiler.start()
        self._began = time.perf_counter()

    def after_step(
        self, loss: Tensor, steps: int, seconds: tuple[float, ...], compiled: bool = False
    ) -> None:
        """Called after each call of the train step, which ran `steps` steps.

        `seconds` are those of PARTS up to the train step; a step that compiled a graph is not counted.
        """
        self._done += steps
        if self._profiler is None:
            return
        before = time.perf_counter()
        loss.asnumpy()
        now = time.perf_counter()
        if not compiled:
            parts = (*seconds, now - before)
            other = now - self._began - sum(parts)
            for name, value in zip(PARTS, (*parts, other), strict=True):
                self._seconds[name] += value
            self._counted += steps
        if self._done >= self._first + self.steps:
            self.end()

    def end(self) -> None:
        """Stop a running profile, write its tables and log the largest operators."""
        if self._profiler is None or self._raw is None:
            return
        with _without_warnings():
            self._profiler.stop()
        self._profiler = None
        with self._raw as raw:
            files = Path(raw).rglob("cpu_op_detail_info_*.csv")
            self._write(add_up([row for path in files for row in read_operators(path)]))

    def _write(self, operators: list[Operator]) -> None:
        steps = max(self._counted, 1)
        parts = [(name, self._seconds[name] * 1e3 / steps) for name in PARTS]
        if self.tables is not None:
            columns = ("operator", "calls", "milliseconds", "share")
            write_text(f"{self.tables}_operators.csv", as_csv(columns, shares(operators)))
            total = sum(value for _, value in parts)
            rows = [(name, f"{value:.3f}", f"{value / max(total, 1e-9):.4f}") for name, value in parts]
            write_text(f"{self.tables}_steps.csv", as_csv(("part", "milliseconds a step", "share"), rows))
        split = ", ".join(f"{name} {value:.2f} ms" for name, value in parts)
        self._log(f"profile of {self._counted} steps, in each: {split}")
        for name, calls, milliseconds, share in shares(operators)[:SHOWN]:
            self._log(f"  {float(share):6.1%}  {milliseconds:>10} ms  {calls:>6} calls  {name}")


def read_operators(path: Path) -> Iterator[Operator]:
    """(name, calls, milliseconds) of each operator in a file of MindSpore's profiler."""
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = operator_name(row["op_type"], row["full_op_name"])
            yield name, int(row["op_occurrences"]), float(row["op_total_time(ms)"])


def operator_name(kind: str, place: str) -> str:
    """The name of an operator of the type `kind` at `place` in the graph, a path of cells.

    This project's kernels are Custom operators to MindSpore: they get the name of their cell.
    """
    cells = [part for part in place.split("/")[:-1] if "-" in part]
    if kind == "Custom" and cells:
        kind = f"{cells[-1].split('-')[-1]} (kernel)"
    whose = "teacher: " if any(cell.startswith("teacher-") for cell in cells) else ""
    return f"{whose}{kind}{', backward' if place.startswith('Gradients/') else ''}"


def add_up(operators: Iterable[Operator]) -> list[Operator]:
    """[(name, calls, milliseconds)] with one row per name, the longest first."""
    calls: dict[str, int] = defaultdict(int)
    spent: dict[str, float] = defaultdict(float)
    for name, count, milliseconds in operators:
        calls[name] += count
        spent[name] += milliseconds
    return [(name, calls[name], value) for name, value in sorted(spent.items(), key=lambda item: -item[1])]


def shares(operators: list[Operator]) -> list[tuple[str, int, str, str]]:
    """The rows of `add_up` as text, each with its share of the total."""
    total = max(sum(value for _, _, value in operators), 1e-9)
    return [(name, calls, f"{value:.3f}", f"{value / total:.4f}") for name, calls, value in operators]


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    # The profiler warns that it has no schedule.
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
