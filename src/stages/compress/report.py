"""Writes report.json, report.html and summary.md of a compression run."""

from __future__ import annotations

import dataclasses
import html
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from ...files import write_json, write_text
from ..markdown import aligned
from . import report_format as fmt
from .report_data import REPORT_FILE, CandidateResult, ReportData
from .report_html import render, time_taken

PAGE_FILE, SUMMARY_FILE = "report.html", "summary.md"
COLUMNS = ("candidate", "{metric}", "points", "95 %", "same", "ms", "as fast", "MB", "smaller", "limits")


def write_report(data: ReportData, folder: str | Path) -> None:
    """Write report.json, report.html and summary.md into an existing folder, each atomically."""
    data = plain(data)
    write_json(Path(folder) / REPORT_FILE, data.to_dict())
    data.candidates[:1] = map(without_comparison, data.candidates[:1])
    write_text(Path(folder) / PAGE_FILE, render(data))
    write_text(Path(folder) / SUMMARY_FILE, summary(data))


def without_comparison(model: CandidateResult) -> CandidateResult:
    """The given model without its comparison with itself."""
    paired = ("difference", "difference_interval", "mcnemar_p", "agreement", "agreement_interval")
    nothing: dict[str, Any] = dict.fromkeys((*paired, "latency_ratio", "size_ratio", "within"))
    return dataclasses.replace(model, **nothing)


def plain(value: Any) -> Any:
    """A value that JSON can hold: no NumPy scalars, None for NaN and infinity, no lone surrogates."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{key: plain(item) for key, item in vars(value).items()})
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def summary(data: ReportData) -> str:
    """The verdict, the table of candidates and the warnings as GitHub-flavored Markdown."""
    lines = [[column.format(metric=data.task.metric.replace("_", " ")) for column in COLUMNS]]
    lines += [_row(candidate) for candidate in data.candidates]
    parts = [escape(data.verdict), aligned(lines, text_columns=1), f"Commands: {time_taken(data)}"]
    failed = [f"{escape(c.name)}: {escape(c.failed)}" for c in data.candidates if c.failed]
    for title, items in {
        "Warnings": [escape(text) for text in data.warnings],
        "Failed": failed,
        "Left out": [f"{escape(left.name)}: {escape(left.why)}" for left in data.left_out],
    }.items():
        if items:
            parts.append("\n".join([f"**{title}**", "", *(f"- {item}" for item in items)]))
    return "\n\n".join(parts) + "\n"


def _row(candidate: CandidateResult) -> list[str]:
    name = escape(candidate.name)
    return [
        f"**{name}**" if candidate.recommended else name,
        fmt.metric(candidate.metric),
        fmt.points(candidate.difference),
        fmt.points_interval(candidate.difference_interval),
        fmt.share(candidate.agreement),
        fmt.quantity(candidate.latency_ms),
        fmt.times(candidate.latency_ratio),
        fmt.quantity(candidate.size_mb),
        fmt.times(candidate.size_ratio),
        limits_held(candidate),
    ]


def limits_held(candidate: CandidateResult) -> str:
    """`held`, `failed`, or the limits that do not hold."""
    if candidate.failed:
        return "failed"
    if candidate.within is None:
        return fmt.NONE
    broken = [name for name, held in vars(candidate.within).items() if not held]
    return f"not {', '.join(broken)}" if broken else "held"


def escape(text: str) -> str:
    """A text of unknown origin on one line of Markdown, without markup of its own."""
    one_line = " ".join(fmt.visible(text).split())
    # An underscore inside a word is no markup.
    return re.sub(r"([\\`*{}\[\]|~#]|\b_|_\b)", r"\\\1", html.escape(one_line, quote=False))
