"""Inline SVG plots of report.html: metric against latency and size, and the losses of the trained candidates.

Colors are CSS variables of the page, so that the plots follow its color scheme.
"""

from __future__ import annotations

import dataclasses
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from . import report_format as fmt
from .markup import element
from .report_data import CandidateResult, Limits, ModelFacts, ReportData

WIDTH, HEIGHT = 480, 320
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 34, 48
RADIUS = 10
CURVE_WIDTH, CURVE_HEIGHT, CURVE_MARGIN = 240, 90, 4


@dataclasses.dataclass(frozen=True)
class Point:
    """A candidate in a plot: `low` and `high` bound its metric; `kind` is a CSS class."""

    letter: str
    name: str
    x: float
    y: float
    low: float
    high: float
    kind: str


@dataclasses.dataclass(frozen=True)
class Axis:
    """Maps values from `low` to `high` to pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Position of a value in pixels, one decimal."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, count: int = 8) -> list[float]:
        """Up to `count` + 1 numbers from `low` to `high`, multiples of 1, 2 or 5 times a power of ten."""
        raw = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(place * step, 10) for place in range(first, last + 1)]


def letter_of(place: int) -> str:
    """A, B, ... Z, AA: the mark of a candidate in the table and in the plots."""
    return (letter_of(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def plots(data: ReportData) -> list[ET.Element]:
    """The metric against latency and against size, one SVG each; none without two measured candidates."""
    made = []
    for field, title, limit in (
        ("latency_ms", "milliseconds for one text", data.limits.max_latency_ms),
        ("size_mb", "megabytes", data.limits.max_size_mb),
    ):
        points = points_of(data.candidates, field)
        if len(points) > 1:
            made.append(_scatter(points, title, data.task.metric.replace("_", " "), _bounds(data), limit))
    return made


def points_of(candidates: Sequence[CandidateResult], field: str) -> list[Point]:
    """The candidates that have a metric and the field."""
    points = []
    for place, candidate in enumerate(candidates):
        x, y = getattr(candidate, field), candidate.metric
        if x is not None and y is not None:
            low, high = candidate.interval or (y, y)
            points.append(Point(letter_of(place), candidate.name, x, y, low, high, kind_of(candidate)))
    return points


def kind_of(candidate: CandidateResult) -> str:
    """CSS class of a candidate: recommended, within or outside the limits, or the given model."""
    if candidate.recommended:
        return "recommended"
    if candidate.within is None:
        return "given"
    return "within" if all(vars(candidate.within).values()) else "outside"


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points of which no other has both a lower x and a higher metric, by rising x (Pareto frontier)."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if not best or point.y > best[-1].y:
            best.append(point)
    return best


def _bounds(data: ReportData) -> float | None:
    """The lowest metric that the limits allow."""
    return lowest_metric(data.limits, data.model, data.task.metric)


def lowest_metric(limits: Limits, model: ModelFacts, metric: str) -> float | None:
    """The metric at max_drop points below the model's, or min_agreement where that is the metric."""
    if metric == "agreement":
        return limits.min_agreement
    if limits.max_drop is None or model.metric is None:
        return None
    return model.metric - limits.max_drop / 100


def _scatter(
    points: Sequence[Point], x_title: str, y_title: str, lowest: float | None, limit: float | None
) -> ET.Element:
    values = [value for point in points for value in (point.low, point.high)]
    values += [] if lowest is None else [lowest]
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 0.05
    y = Axis(low - margin, high + margin, HEIGHT - BOTTOM, TOP)
    x = Axis(0.0, 1.1 * max([point.x for point in points] + [limit or 0.0]), LEFT, WIDTH - RIGHT)
    children = [*_grid(x, y, x_title, y_title), *_limit_lines(x, y, lowest, limit)]
    path = " ".join(f"{x.at(point.x)},{y.at(point.y)}" for point in frontier(points))
    children.append(element("polyline", points=path, class_="frontier"))
    children += [_error_bar(point, x, y) for point in points]
    children += [_mark(point, x.at(point.x), y.at(point.y)) for point in points]
    label = f"{y_title} against {x_title}"
    return element("svg", *children, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)


def _grid(x: Axis, y: Axis, x_title: str, y_title: str) -> list[ET.Element]:
    made = []
    span = y.high - y.low
    decimals = 2 if span >= 0.05 else 3 if span >= 0.01 else 4
    for tick in y.ticks():
        made.append(_line(x.start, y.at(tick), x.end, y.at(tick), "grid"))
        made.append(_text(x.start - 8, y.at(tick) + 4, fmt.fixed(tick, decimals), "tick end"))
    for tick in x.ticks():
        made.append(_line(x.at(tick), y.start, x.at(tick), y.end, "grid"))
        made.append(_text(x.at(tick), y.start + 18, f"{tick:g}", "tick middle"))
    made.append(_text((x.start + x.end) / 2, HEIGHT - 8, x_title, "axis middle"))
    made.append(_text(0, 16, y_title, "axis"))
    return made


def _limit_lines(x: Axis, y: Axis, lowest: float | None, limit: float | None) -> list[ET.Element]:
    made = []
    if lowest is not None:
        made.append(_line(x.start, y.at(lowest), x.end, y.at(lowest), "limit"))
    if limit is not None:
        made.append(_line(x.at(limit), y.start, x.at(limit), y.end, "limit"))
    return made


def _error_bar(point: Point, x: Axis, y: Axis) -> ET.Element:
    place, low, high = x.at(point.x), y.at(point.low), y.at(point.high)
    caps = f"M{place} {low}V{high}M{place - 4} {low}h8M{place - 4} {high}h8"
    return element("path", d=caps, class_=f"error {point.kind}")


def _mark(point: Point, x: float, y: float) -> ET.Element:
    return element(
        "g",
        element("title", f"{point.letter}: {point.name}"),
        element("circle", cx=x, cy=y, r=RADIUS),
        _text(x, y + 4, point.letter, "middle"),
        class_=f"mark {point.kind}",
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> ET.Element:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def _text(x: float, y: float, text: str, kind: str) -> ET.Element:
    return element("text", text, x=x, y=y, class_=kind)


def loss_curves(candidates: Sequence[CandidateResult]) -> list[ET.Element]:
    """A small curve for each phase of training, with its first and last loss; candidates share those of
    the model that they were made from."""
    trained: dict[tuple[str, tuple[float | None, ...]], list[str]] = {}
    for place, candidate in enumerate(candidates):
        for phase, losses in candidate.losses.items():
            if losses:
                trained.setdefault((phase, tuple(losses)), []).append(f"{letter_of(place)} {candidate.name}")
    return [_curve(f"{', '.join(names)}: {phase}", losses) for (phase, losses), names in trained.items()]


def _curve(title: str, losses: Sequence[float | None]) -> ET.Element:
    finite = [(place, value) for place, value in enumerate(losses) if value is not None]
    values = [value for _, value in finite] or [0.0]
    x = Axis(0, max(len(losses) - 1, 1), CURVE_MARGIN, CURVE_WIDTH - CURVE_MARGIN)
    low = min(0.0, *values) if len(values) > 1 else min(0.0, values[0])
    y = Axis(low, max(values) or 1.0, CURVE_HEIGHT - CURVE_MARGIN, CURVE_MARGIN)
    path = " ".join(f"{x.at(place)},{y.at(value)}" for place, value in finite)
    svg = element(
        "svg",
        _line(0, y.at(0.0), CURVE_WIDTH, y.at(0.0), "grid"),
        element("polyline", points=path, class_="loss"),
        viewBox=f"0 0 {CURVE_WIDTH} {CURVE_HEIGHT}",
        role="img",
        aria_label=f"loss of {title}",
    )
    ends = f"{fmt.loss(losses[0])} → {fmt.loss(losses[-1])}"
    return element("figure", element("figcaption", element("b", title), " ", element("span", ends)), svg)
