"""Tables of report.html. On a narrow screen each row becomes a card, whose values are named by data-label."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from . import report_format as fmt
from .markup import element
from .report_data import CandidateResult, LabelRow, Limits, ReportData
from .report_plot import kind_of, letter_of

MAX_CONFUSION = 10  # labels; a larger table is not readable


def candidate_table(data: ReportData) -> ET.Element:
    """All candidates: quality, speed, size, minutes and limits."""
    columns = ["candidate", *_values(data.candidates[0], data), "limits"]
    rows = [_candidate_row(data, place, len(columns)) for place in range(len(data.candidates))]
    return table(columns, rows, {columns[0]})


def _values(candidate: CandidateResult, data: ReportData) -> dict[str, list[str]]:
    """The columns of measured values: each a value and the notes below it."""
    name = data.task.metric.replace("_", " ")
    values = {name: [fmt.metric(candidate.metric), fmt.interval(candidate.interval)]}
    if any(each.difference is not None for each in data.candidates):
        interval, p = fmt.points_interval(candidate.difference_interval), fmt.p_value(candidate.mcnemar_p)
        values["difference, points"] = [fmt.points(candidate.difference), interval, p]
    if name != "agreement":
        interval = fmt.share_interval(candidate.agreement_interval)
        values["same predictions"] = [fmt.share(candidate.agreement), interval]
    values["ms for one text"] = [
        fmt.quantity(candidate.latency_ms),
        _times(candidate.latency_ratio, "as fast"),
    ]
    values["MB"] = [fmt.quantity(candidate.size_mb), _times(candidate.size_ratio, "smaller")]
    values["minutes"] = _minutes(candidate)
    return values


def table(
    columns: Sequence[str], rows: Sequence[ET.Element], text: set[str], kind: str = "stack"
) -> ET.Element:
    """A table whose rows become cards; the columns in `text` are aligned to the left."""
    head = [element("th", name, scope="col", class_="text" if name in text else None) for name in columns]
    body = element("tbody", *rows)
    return element("table", element("thead", element("tr", *head)), body, class_=kind)


def _candidate_row(data: ReportData, place: int, columns: int) -> ET.Element:
    candidate = data.candidates[place]
    title = element(
        "td",
        element(
            "div",
            element("span", letter_of(place), class_="letter"),
            element("span", candidate.name, class_="name"),
            element("span", "recommended", class_="tag") if candidate.recommended else None,
        ),
        element("small", candidate.how),
        element("small", shape_of(candidate)),
        class_="text title",
    )
    if candidate.failed:
        reason = element("span", f"failed: {candidate.failed}", class_="failed")
        return element("tr", title, element("td", reason, class_="text title", colspan=columns - 1))
    cells = (_cell(label, *texts) for label, texts in _values(candidate, data).items())
    return element("tr", title, *cells, _limits(candidate, data.limits), class_=kind_of(candidate))


def shape_of(candidate: CandidateResult) -> str:
    """6 layers of 384, vocabulary 30,522, int8."""
    size = f"{candidate.layers} layers of {candidate.hidden:,}, vocabulary {candidate.vocabulary:,}"
    return f"{size}, {candidate.precision}"


def _minutes(candidate: CandidateResult) -> list[str]:
    if not candidate.minutes_planned and not candidate.minutes_taken:
        return [fmt.NONE]
    return [fmt.quantity(candidate.minutes_taken), f"planned {fmt.quantity(candidate.minutes_planned)}"]


def _times(ratio: float | None, word: str) -> str:
    return "" if ratio is None else f"{fmt.times(ratio)} {word}"


def _cell(label: str, value: str, *notes: str) -> ET.Element:
    lines = (element("small", note) for note in notes if note)
    kind = "empty" if value == fmt.NONE else None
    return element("td", element("div", element("span", value), *lines), data_label=label, class_=kind)


def _limits(candidate: CandidateResult, limits: Limits) -> ET.Element:
    if candidate.within is None:
        return _cell("limits", fmt.NONE)
    given = {
        "quality": (
            candidate.within.quality,
            limits.min_agreement if limits.max_drop is None else limits.max_drop,
        ),
        "latency": (candidate.within.latency, limits.max_latency_ms),
        "size": (candidate.within.size, limits.max_size_mb),
    }
    marks = [
        element("span", f"{'✓' if held else '✗'} {name}", class_="held" if held else "broken")
        for name, (held, limit) in given.items()
        if limit is not None
    ]
    chosen = candidate.choose_difference
    if chosen is not None and not limits.allow_difference(chosen):
        marks.append(element("small", f"{fmt.points(chosen)} over the choosing rows"))
    return element("td", element("div", *marks), data_label="limits") if marks else _cell("limits", fmt.NONE)


def label_table(candidate: CandidateResult) -> ET.Element:
    """Precision and recall of each label in the given model and in the candidate."""
    rows = [_label_row(row) for row in candidate.per_label]
    made = table(["label", "rows", "precision", "recall"], rows, {"label"})
    made.insert(0, element("caption", "Labels, before → after"))
    return made


def _label_row(row: LabelRow) -> ET.Element:
    return element(
        "tr",
        element("td", element("span", row.label, class_="name"), class_="text title"),
        _cell("rows", f"{row.support:,}"),
        _cell("precision", f"{fmt.metric(row.precision_before)} → {fmt.metric(row.precision)}"),
        _cell("recall", f"{fmt.metric(row.recall_before)} → {fmt.metric(row.recall)}"),
    )


def confusion_tables(data: ReportData, candidate: CandidateResult) -> list[ET.Element]:
    """Confusion tables of the given model and of the candidate; none of many labels."""
    labels = data.task.labels
    pairs = {"The given model": data.candidates[0].confusion, candidate.name: candidate.confusion}
    if not 1 < len(labels) <= MAX_CONFUSION:
        return []
    return [_confusion(title, counts, labels) for title, counts in pairs.items() if counts]


def _confusion(title: str, counts: Sequence[Sequence[int]], labels: Sequence[str]) -> ET.Element:
    head = [
        element("th", "label \\ prediction", class_="text"),
        *(element("th", name, scope="col") for name in labels),
    ]
    rows = []
    for name, row in zip(labels, counts, strict=True):
        cells = [
            element("td", f"{count:,}", style=f"--share: {70 * count / max(sum(row), 1):.0f}%")
            for count in row
        ]
        rows.append(element("tr", element("th", name, scope="row", class_="text"), *cells))
    caption = element("caption", title)
    return element(
        "table", caption, element("thead", element("tr", *head)), element("tbody", *rows), class_="confusion"
    )


def changed_table(data: ReportData) -> ET.Element:
    """The texts whose prediction changed, with the label where there is one."""
    labeled = any(row.label is not None for row in data.changed)
    columns = ["text", *(["label"] if labeled else []), "the given model", data.chosen or "candidate"]
    rows = []
    for row in data.changed:
        cells = [element("td", element("span", row.text, dir="auto"), class_="text title")]
        if labeled:
            cells.append(
                element("td", element("span", row.label or fmt.NONE), class_="text", data_label="label")
            )
        for label, answer, probability in (
            (columns[-2], row.before, row.before_p),
            (columns[-1], row.after, row.after_p),
        ):
            verdict = None if row.label is None or probability is None else answer == row.label
            cells.append(_answer(label, answer, probability, verdict))
        rows.append(element("tr", *cells))
    return table(columns, rows, set(columns), "stack answers")


def _answer(label: str, answer: str, probability: float | None, right: bool | None) -> ET.Element:
    mark = {True: "✓ ", False: "✗ ", None: ""}[right]
    kind = {True: "right", False: "wrong", None: None}[right]
    note = None if probability is None else element("small", fmt.probability(probability))
    lines = element("div", element("span", mark + answer, class_=kind), note)
    return element("td", lines, class_="text", data_label=label)
