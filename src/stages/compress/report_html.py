"""report.html: one file without scripts and outside resources, whose every figure is in report.json."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping

from . import report_format as fmt
from .markup import Node, element, serialize, style
from .report_data import CandidateResult, Limits, ReportData
from .report_plot import loss_curves, plots
from .report_style import CSS
from .report_tables import candidate_table, changed_table, confusion_tables, label_table

# Nothing may be loaded or run, whatever a text of the data contains.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STATUS = {
    "ok": "within all limits",
    "no_candidate": "no candidate within the limits",
    "interrupted": "interrupted",
}
LEGEND = {
    "recommended": "recommended",
    "within": "within the limits",
    "outside": "outside the limits",
    "given": "the given model",
    "line": "frontier: none is better in both",
    "dash": "limit",
}
METHOD = (
    "All figures are over the reporting rows, on which nothing was trained and no checkpoint was chosen. Of "
    "the candidates that are within the limits there the fastest (or smallest) is recommended: where several "
    "are close to a limit, its figures are slightly optimistic.",
    "Intervals are at the 95\u00a0% level: Wilson's for an accuracy, Clopper and Pearson's for the share of "
    "equal predictions, percentiles of a bootstrap over rows for other metrics.",
    "The difference to the given model is paired, row by row: Bonett and Price's interval for an accuracy, "
    "a paired bootstrap for other metrics. p is that of McNemar's exact test over the rows that only one of "
    "the two models has right.",
    "Latency is the median of one text at a time; times faster is the median ratio of interleaved calls.",
)
STRICT = "A limit on quality holds where the lower end of the interval is within it."
NOT_STRICT = "A limit on quality holds where the estimate is within it, whatever its interval (not strict)."


def render(data: ReportData) -> str:
    """The HTML document of a report."""
    title = f"{data.task.name}: compression report"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        style(CSS),
    )
    sections = (
        *_top(data, title),
        *_warnings(data),
        *_candidates(data),
        *_plots(data),
        *_quality(data),
        *_changed(data),
        *_losses(data),
        *_details_of(data),
    )
    return serialize(element("html", head, element("body", element("main", *sections)), lang="en"))


def time_taken(data: ReportData) -> str:
    """The time of all commands, and what was planned for them."""
    planned = f", planned {fmt.duration(data.seconds_planned)}" if data.seconds_planned else ""
    return f"{fmt.duration(data.seconds)} in all{planned}"


def chosen_of(data: ReportData) -> CandidateResult | None:
    """The candidate that the report is about: recommended, or the closest."""
    return next((candidate for candidate in data.candidates if candidate.name == data.chosen), None)


def _top(data: ReportData, title: str) -> list[Node]:
    badge = element("span", STATUS.get(data.status, data.status), class_=f"status {data.status}")
    limits = element("ul", *(element("li", text) for text in limit_texts(data.limits)), class_="limits")
    figures = _figures(data)
    return [
        element("header", element("h1", title), badge),
        element("p", data.verdict, class_="verdict"),
        limits,
        element("div", *figures, class_="figures") if figures else None,
    ]


def limit_texts(limits: Limits) -> list[str]:
    """The limits that were given, in words."""
    texts = {
        "points lost: at most {}": limits.max_drop,
        "agreement at least {}": limits.min_agreement,
        "at most {} ms for one text": limits.max_latency_ms,
        "at most {} MB": limits.max_size_mb,
        "time budget {} min": limits.time_budget_minutes,
    }
    given = [text.format(fmt.given(value)) for text, value in texts.items() if value is not None]
    return [*given, f"threads: {limits.threads}", f"preferred: {limits.prefer}"]


def _figures(data: ReportData) -> list[ET.Element]:
    candidate, model = chosen_of(data), data.model
    if candidate is None or candidate.metric is None:
        return []
    name = data.task.metric.replace("_", " ")
    figures = []
    if candidate.latency_ratio is not None:  # an interrupted run may not have measured it
        milliseconds = (
            f"{fmt.quantity(model.latency_ms)} → {fmt.quantity(candidate.latency_ms)} ms for one text"
        )
        figures.append(_figure(fmt.times(candidate.latency_ratio), "as fast", milliseconds))
    megabytes = f"{fmt.quantity(model.size_mb)} → {fmt.quantity(candidate.size_mb)} MB"
    figures.append(_figure(fmt.times(candidate.size_ratio), "smaller", megabytes))
    if candidate.difference is not None:
        change = f"{fmt.metric(model.metric)} → {fmt.metric(candidate.metric)}"
        interval = f"95\u00a0%: {fmt.points_interval(candidate.difference_interval)}"
        figures.append(_figure(fmt.points(candidate.difference), f"points of {name}", change, interval))
    interval = f"95\u00a0%: {fmt.share_interval(candidate.agreement_interval)}"
    rows = f"over {data.task.rows.report:,} rows"
    figures.append(_figure(fmt.share(candidate.agreement), "same predictions", rows, interval))
    return figures


def _figure(value: str, label: str, *notes: str) -> ET.Element:
    lines: list[Node] = []
    for note in notes:
        lines += [element("br")] if lines else []
        lines.append(note)
    return element(
        "div", element("b", value), element("span", label), element("small", *lines), class_="figure"
    )


def _warnings(data: ReportData) -> list[Node]:
    if not data.warnings:
        return []
    items = (element("li", text) for text in data.warnings)
    return [element("h2", "Warnings"), element("ul", *items, class_="warnings")]


def _candidates(data: ReportData) -> list[Node]:
    rows = f"Measured over {data.task.rows.report:,} reporting rows. "
    made: list[Node] = []
    if data.candidates:
        made += [
            element("h2", "Candidates"),
            element("p", rows + (STRICT if data.limits.strict else NOT_STRICT), class_="note"),
            element("div", candidate_table(data), class_="card"),
        ]
    if data.left_out:
        items = (element("li", element("b", left.name), f": {left.why}") for left in data.left_out)
        made += [element("h3", "Left out"), element("ul", *items, class_="plain")]
    return made


def _plots(data: ReportData) -> list[Node]:
    panels = plots(data)
    if not panels:
        return []
    legend = [element("li", element("i", class_=kind), text) for kind, text in LEGEND.items()]
    return [
        element("h2", "Quality against speed and size"),
        element("p", "Bars are 95\u00a0% intervals; the letters are those of the table.", class_="note"),
        element("div", *(element("div", panel, class_="card") for panel in panels), class_="plots"),
        element("ul", *legend, class_="legend"),
    ]


def _quality(data: ReportData) -> list[Node]:
    candidate = chosen_of(data)
    if candidate is None or not (candidate.per_label or candidate.confusion):
        return []
    cards = [element("div", label_table(candidate), class_="card scroll")] if candidate.per_label else []
    cards += [element("div", table, class_="card scroll") for table in confusion_tables(data, candidate)]
    return [element("h2", f"Before and after: {candidate.name}"), element("div", *cards, class_="pair")]


def _changed(data: ReportData) -> list[Node]:
    if not data.changed:
        return []
    scores = data.task.output_mode == "regression"
    note = "Those that moved the most." if scores else "Those in which the candidate is most confident."
    return [
        element("h2", "Changed predictions"),
        element("p", note, class_="note"),
        element("div", changed_table(data), class_="card"),
    ]


def _losses(data: ReportData) -> list[Node]:
    curves = loss_curves(data.candidates)
    if not curves:
        return []
    return [
        element("h2", "Training losses"),
        element(
            "p",
            "Each point is the mean since the point before; the axis starts at zero.",
            class_="note",
        ),
        element("div", *curves, class_="curves card"),
    ]


def _details_of(data: ReportData) -> list[Node]:
    rows = data.task.rows
    counts = {
        "training rows": f"{rows.train:,}",
        "rows without a label": f"{rows.unlabeled:,}",
        "rows for choosing": f"{rows.choose:,}",
        "rows for reporting": f"{rows.report:,}",
    }
    labels = {"labels": ", ".join(data.task.labels)} if data.task.labels else {}
    model = data.model
    shape = {
        "folder": model.folder,
        "read from": model.source,
        "architecture": f"{model.layers} layers, hidden size {model.hidden:,}, "
        f"feed-forward {model.intermediate:,}, vocabulary {model.vocabulary:,}, "
        f"{model.parameters:,} parameters",
    }
    return [
        element("h2", "Details"),
        _details("How it was measured", *(element("p", text) for text in METHOD)),
        _details("Model and data", _facts({**shape, "task": data.task.name, **labels, **counts})),
        _details(f"Commands, {time_taken(data)}", _commands(data)),
        _details("Machine and versions", _facts(data.machine)),
        _details("SHA-256 of data and weights", _facts(data.hashes, code=True)),
    ]


def _commands(data: ReportData) -> ET.Element:
    items = (
        element(
            "li",
            element("b", run.step),
            element("span", f" {fmt.duration(run.seconds)}"),
            element("code", *_words(run.command)),
        )
        for run in data.commands
    )
    return element("ol", *items, class_="commands")


def _words(command: str) -> list[Node]:
    """The words of a command, each of which stays on one line where it fits."""
    made: list[Node] = []
    for word in command.split(" "):
        made += [" "] if made else []
        made.append(element("span", word))
    return made


def _facts(facts: Mapping[str, str], code: bool = False) -> ET.Element:
    children: list[Node] = []
    for name, value in facts.items():
        children += [element("dt", name), element("dd", element("code", value) if code else value)]
    return element("dl", *children)


def _details(title: str, *children: ET.Element) -> ET.Element:
    return element("details", element("summary", title), *children)
