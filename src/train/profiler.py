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
from typing import Any, NamedTuple

from mindspore import Tensor, profiler
from mindspore.profiler import ProfilerActivity

from ..errors import WriteError
from ..files import write_text

WARM_UP = 10  # steps before profiling starts: graphs are compiled, and their slow first runs are over
SHOWN = 10
PARTS = ("waiting for data", "teacher", "to the device", "train step", "reading back", "the rest")
Operator = tuple[str, int, float]  # name, calls, milliseconds


class DeviceTable(NamedTuple):
    """Where MindSpore's profiler leaves the operators of a device target: files, and the names of columns.

    `place` is the operator's path of cells, "" where the table has none; `unit` is that of `total` in ms.
    """

    activities: tuple[ProfilerActivity, ...]
    files: str
    kind: str
    place: str
    calls: str
    total: str
    unit: float


# Headers as in MindSpore 2.10's libmindspore_profiler, and in CANN's op_statistic.csv.
DEVICE_TABLES = {
    "CPU": DeviceTable(
        (ProfilerActivity.CPU,),
        "cpu_op_detail_info_*.csv",
        "op_type",
        "full_op_name",
        "op_occurrences",
        "op_total_time(ms)",
        1.0,
    ),
    "GPU": DeviceTable(
        (ProfilerActivity.CPU, ProfilerActivity.GPU),
        "gpu_op_detail_info_*.csv",
        "op_type",
        "op_full_name",
        "op_occurrences",
        "op_total_time(us)",
        1e-3,
    ),
    "Ascend": DeviceTable(
        (ProfilerActivity.CPU, ProfilerActivity.NPU),
        "op_statistic*.csv",
        "OP Type",
        "",
        "Count",
        "Total Time(us)",
        1e-3,
    ),
}


class StepProfile:
    """Profiles `steps` of the `left` steps of a phase with MindSpore's profiler; results do not change.

    Profiling starts after the warm-up, where enough steps are left. Tables go to files whose paths begin with
    `tables` (None: nowhere), the largest operators of the device `target` to `log`.
    """

    def __init__(
        self, steps: int, left: int, tables: Path | None, log: Callable[[str], None], target: str = "CPU"
    ) -> None:
        self.steps, self.tables, self._log = steps, tables, log
        self._target, self._table = target, DEVICE_TABLES[target]
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
                    activities=list(self._table.activities), start_profile=False
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
            if self._target == "Ascend":  # its tables are made from the raw data by a second call
                profiler.profiler.analyse(raw)
            files = Path(raw).rglob(self._table.files)
            self._write(add_up([row for path in files for row in read_operators(path, self._table)]))

    def _write(self, operators: list[Operator]) -> None:
        steps = max(self._counted, 1)
        parts = [(name, self._seconds[name] * 1e3 / steps) for name in PARTS]
        if self.tables is not None:
            columns = ("operator", "calls", "milliseconds", "share")
            total = sum(value for _, value in parts)
            rows = [(name, f"{value:.3f}", f"{value / max(total, 1e-9):.4f}") for name, value in parts]
            try:
                write_text(f"{self.tables}_operators.csv", as_csv(columns, shares(operators)))
                write_text(f"{self.tables}_steps.csv", as_csv(("part", "milliseconds a step", "share"), rows))
            except WriteError as error:  # no reason to stop training
                self._log(str(error))
        split = ", ".join(f"{name} {value:.2f} ms" for name, value in parts)
        self._log(f"profile of {self._counted} steps, in each: {split}")
        if not operators:
            self._log(f"  MindSpore's profiler left no {self._table.files}: no table of operators")
        for name, calls, milliseconds, share in shares(operators)[:SHOWN]:
            self._log(f"  {float(share):6.1%}  {milliseconds:>10} ms  {calls:>6} calls  {name}")


def read_operators(path: Path, table: DeviceTable) -> Iterator[Operator]:
    """(name, calls, milliseconds) of each operator in a file of MindSpore's profiler."""
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = operator_name(row[table.kind], row[table.place] if table.place else "")
            yield name, int(row[table.calls]), float(row[table.total]) * table.unit


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
