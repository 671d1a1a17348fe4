"""--profile N: where the time of N steps goes, by operator and by what the step is waiting for."""

import contextlib
import csv
import io
import logging
import tempfile
import time
from collections import Counter
from pathlib import Path

from mindspore import profiler

from ..files import write_text

WARM_UP = 10  # steps before the first that is profiled: graphs are compiled, and their slow first runs over
SHOWN = 10
PARTS = ("waiting for data", "teacher", "to the device", "train step", "reading back", "the rest")


class StepProfile:
    """Profiles `steps` of the `left` steps of a phase with MindSpore's profiler: no number changes by it.

    They are those after the warm-up, if so many are left. Tables go to files that begin with the path
    `tables` (None: nowhere), the largest operators to `log`.
    """

    def __init__(self, steps, left, tables, log):
        self.steps, self.tables, self.info = steps, tables, log
        self._first, self._done = max(0, min(WARM_UP, left - steps)), 0
        self._profiler = self._raw = None
        self._seconds, self._counted = Counter(), 0

    def before_step(self):
        """Called before each step."""
        if self._done == self._first and self._profiler is None:
            self._raw = tempfile.TemporaryDirectory()
            with _without_warnings():
                # The handler is asked for its path alone: its own tables take a process and minutes.
                profiler.tensorboard_trace_handler(self._raw.name)
                self._profiler = profiler.profile(
                    activities=[profiler.ProfilerActivity.CPU], start_profile=False
                )
                self._profiler.start()
        self._began = time.perf_counter()

    def after_step(self, done, compiled=False):
        """Called after each step with its StepResult; one in which a graph was compiled has no say."""
        self._done += done.steps
        if self._profiler is None:
            return
        before = time.perf_counter()
        done.result[0].asnumpy()
        now = time.perf_counter()
        if not compiled:
            parts = (*done.seconds, now - before)
            rest = now - self._began - sum(parts)
            self._seconds.update(dict(zip(PARTS, (*parts, rest), strict=True)))
            self._counted += done.steps
        if self._done >= self._first + self.steps:
            self.end()

    def end(self):
        """Stop, write the tables and say the largest operators, if anything is being profiled."""
        if self._profiler is None:
            return
        with _without_warnings():
            self._profiler.stop()
        self._profiler = None
        with self._raw as raw:
            files = Path(raw).rglob("cpu_op_detail_info_*.csv")
            self._write(add_up([row for path in files for row in read_operators(path)]))

    def _write(self, operators):
        steps = max(self._counted, 1)
        parts = [(name, self._seconds[name] * 1e3 / steps) for name in PARTS]
        if self.tables is not None:
            columns = ("operator", "calls", "milliseconds", "share")
            write_text(f"{self.tables}_operators.csv", as_csv(columns, shares(operators)))
            total = sum(value for _, value in parts)
            rows = [(name, f"{value:.3f}", f"{value / max(total, 1e-9):.4f}") for name, value in parts]
            write_text(f"{self.tables}_steps.csv", as_csv(("part", "milliseconds a step", "share"), rows))
        split = ", ".join(f"{name} {value:.2f} ms" for name, value in parts)
        self.info(f"profile of {self._counted} steps, in each: {split}")
        for name, calls, milliseconds, share in shares(operators)[:SHOWN]:
            self.info(f"  {float(share):6.1%}  {milliseconds:>10} ms  {calls:>6} calls  {name}")


def read_operators(path):
    """(name, calls, milliseconds) of each operator in a file of the framework's profiler."""
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = operator_name(row["op_type"], row["full_op_name"])
            yield name, int(row["op_occurrences"]), float(row["op_total_time(ms)"])


def operator_name(kind, place):
    """What to call an operator of the type `kind` at `place` in the graph, a path of cells.

    A kernel of our own is a Custom to the framework: it takes the name of its cell.
    """
    cells = [part for part in place.split("/")[:-1] if "-" in part]
    if kind == "Custom" and cells:
        kind = f"{cells[-1].split('-')[-1]} (kernel)"
    whose = "teacher: " if any(cell.startswith("teacher-") for cell in cells) else ""
    return f"{whose}{kind}{', backward' if place.startswith('Gradients/') else ''}"


def add_up(operators):
    """[(name, calls, milliseconds)] with one row a name, the longest first."""
    calls, spent = Counter(), Counter()
    for name, count, milliseconds in operators:
        calls[name] += count
        spent[name] += milliseconds
    return [(name, calls[name], value) for name, value in spent.most_common()]


def shares(operators):
    """The rows of `add_up` as text, each with its share of all."""
    total = max(sum(value for _, _, value in operators), 1e-9)
    return [(name, calls, f"{value:.3f}", f"{value / total:.4f}") for name, calls, value in operators]


def as_csv(columns, rows):
    """A table as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


@contextlib.contextmanager
def _without_warnings():
    # The profiler warns of a schedule that it was not given.
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
