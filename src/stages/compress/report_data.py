"""The content of report.json, from which report.html and summary.md are written.

`dataclasses.asdict` of a ReportData is the file, key for key. Metrics and shares are fractions (0.91), not
points; agreement is the share of predictions equal to the given model's; None stands where a number does not
exist: without labels (metric, per_label ...), in a failed candidate, or where a regression has no classes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

REPORT_FILE = "report.json"
STATUSES = ("ok", "no_candidate", "interrupted")
POINT = 100.0  # points of a metric in its whole range
SLACK = 1e-9  # of a limit: rounding of the shares
Interval = list[float]  # [low, high], 95 %


@dataclasses.dataclass
class ModelFacts:
    """The given model. `metric` and the others are over the reporting rows, in float32 ONNX."""

    folder: str
    source: str
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    parameters: int
    metric: float | None = None
    interval: Interval | None = None
    latency_ms: float | None = None
    size_mb: float | None = None


@dataclasses.dataclass
class Limits:
    """The limits as given: `max_drop` in points of the metric, None where a limit was not given."""

    max_drop: float | None
    max_latency_ms: float | None
    max_size_mb: float | None
    min_agreement: float | None
    time_budget_minutes: float
    prefer: str
    strict: bool
    threads: int

    def allow_difference(self, difference: float) -> bool:
        """Whether the metric may change by `difference`, in units of the metric."""
        return self.max_drop is None or POINT * difference >= -self.max_drop - SLACK


@dataclasses.dataclass
class Rows:
    """Numbers of rows: `choose` and `report` are the halves of dev; `unlabeled` have no label."""

    train: int
    unlabeled: int
    choose: int
    report: int


@dataclasses.dataclass
class TaskFacts:
    """The task. `metric` is its name, "agreement" where there are no labels."""

    name: str
    metric: str
    output_mode: str
    labels: list[str]
    rows: Rows


@dataclasses.dataclass
class Within:
    """Whether each limit holds (True where it was not given). `quality` is --max_drop and --min_agreement."""

    quality: bool
    latency: bool
    size: bool


@dataclasses.dataclass
class LabelRow:
    """Precision and recall of one label in the candidate and, `_before`, in the given model."""

    label: str
    precision: float
    recall: float
    precision_before: float
    recall_before: float
    support: int


@dataclasses.dataclass
class CandidateResult:
    """One candidate. The first of the report is the given model in float32 ONNX.

    metric, interval          over the reporting rows, 95 %
    difference                metric minus that of the given model over the same rows, and its paired interval
    mcnemar_p                 p value of McNemar's test over the rows whose answer became right or wrong
    changed_share, agreement  share of predictions that differ from the given model's, and 1 minus that
    latency_ms                median of one text of 64 tokens; latency_ratio: times faster than the given
                              model, median over interleaved calls
    size_mb                   of the ONNX file in millions of bytes; size_ratio: times smaller than the given
                              model's
    minutes_planned           of all its steps, those it shares included; minutes_taken likewise
    choose_metric             over the choosing rows, by which best/ and the export were selected;
                              choose_difference: minus that of the given model
    losses                    {"phase 1": [mean loss, ...]} of a trained candidate; None: not finite
    confusion                 [label][prediction] counts over the reporting rows
    """

    name: str
    how: str
    precision: str
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    metric: float | None = None
    choose_metric: float | None = None
    choose_difference: float | None = None
    interval: Interval | None = None
    difference: float | None = None
    difference_interval: Interval | None = None
    mcnemar_p: float | None = None
    changed_share: float | None = None
    agreement: float | None = None
    agreement_interval: Interval | None = None
    latency_ms: float | None = None
    latency_ratio: float | None = None
    size_mb: float | None = None
    size_ratio: float | None = None
    minutes_planned: float = 0.0
    minutes_taken: float = 0.0
    within: Within | None = None
    recommended: bool = False
    failed: str | None = None
    folder: str = ""
    per_label: list[LabelRow] = dataclasses.field(default_factory=list)
    confusion: list[list[int]] = dataclasses.field(default_factory=list)
    losses: dict[str, list[float | None]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class ChangedRow:
    """A text whose prediction changed: the ten with the highest confidence in the new one."""

    text: str
    label: str | None
    before: str
    before_p: float | None
    after: str
    after_p: float | None


@dataclasses.dataclass
class LeftOut:
    """A candidate that was not tried."""

    name: str
    why: str


@dataclasses.dataclass
class CommandRun:
    """A command as it can be repeated by hand, and how long it took."""

    step: str
    command: str
    seconds: float


@dataclasses.dataclass
class ReportData:
    """The whole report; `machine` {property: text}, `hashes` {file: SHA-256}.

    `seconds` is the total of all commands, `seconds_planned` what the plan had for them; those before the
    plan are in both as they were.

    `chosen` is the name of the recommended candidate, or of the closest where none is within the limits; None
    where none was measured. `changed` are its rows.
    """

    verdict: str
    status: str
    model: ModelFacts
    limits: Limits
    task: TaskFacts
    machine: dict[str, str]
    candidates: list[CandidateResult]
    chosen: str | None
    changed: list[ChangedRow]
    left_out: list[LeftOut]
    warnings: list[str]
    commands: list[CommandRun]
    hashes: dict[str, str]
    seconds: float
    seconds_planned: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        return dataclasses.asdict(self)
