"""report.html against report.json; texts are escaped; nothing comes from outside."""

import html.parser
import json
import re

import numpy as np
import pytest

from src.stages.compress import report_format as fmt
from src.stages.compress.markup import element, serialize
from src.stages.compress.report import write_report
from src.stages.compress.report_data import Within
from src.stages.compress.report_html import METHOD, render
from src.stages.compress.report_plot import Axis, Point, frontier, letter_of
from src.stages.compress.selection.verdict import verdict
from tests.stages.compress.reports import HOSTILE, REPORTS, hostile_report, report

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
VOID = {"meta", "br"}
FORMATS = (
    fmt.metric,
    fmt.points,
    fmt.share,
    fmt.quantity,
    fmt.times,
    fmt.given,
    fmt.probability,
    fmt.p_value,
    fmt.loss,
    fmt.duration,
    "{:,}".format,
    str,
)


class Page(html.parser.HTMLParser):
    """Elements and texts of a page; axis ticks are apart. Checks that the elements are properly nested."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts, self.ticks, self.cells = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self.open.append((tag, dict(attrs).get("class") or ""))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        tag, kind = self.open[-1] if self.open else ("", "")
        if tag != "style":
            (self.ticks if "tick" in kind.split() else self.texts).append(data)
        if any(tag == "td" for tag, _ in self.open):
            self.cells[-1] += data


def numbers_of(value):
    """Every number of report.json as the page may print it, and every number within its texts."""
    if isinstance(value, dict):
        return set().union(*map(numbers_of, [*value, *value.values()]))
    if isinstance(value, list):
        return set().union(*map(numbers_of, value))
    if isinstance(value, str):
        return set(NUMBER.findall(value))
    if value is None or isinstance(value, bool):
        return set()
    return {number for form in FORMATS for number in NUMBER.findall(form(value))}


def written(data, tmp_path):
    write_report(data, tmp_path)
    texts = [
        (tmp_path / name).read_text(encoding="utf-8") for name in ("report.html", "report.json", "summary.md")
    ]
    return Page(texts[0]), json.loads(texts[1]), texts[2]


@pytest.mark.parametrize("make", REPORTS)
def test_every_number_of_the_page_is_in_the_json(make, tmp_path):
    page, values, text = written(make(), tmp_path)
    known = numbers_of(values) | {"95"}  # the level of all intervals
    for found in (" ".join(page.texts), text):
        assert set(NUMBER.findall(re.sub(r"SHA-256|\\+u[0-9a-f]{4}", "", found))) <= known


@pytest.mark.parametrize("make", REPORTS)
def test_ticks_are_round_numbers_on_the_axis(make, tmp_path):
    page, _, _ = written(make(), tmp_path)
    assert all(re.fullmatch(r"\d+(\.\d{1,3})?", tick) for tick in page.ticks)


def test_rows_of_candidates_print_the_values_of_the_json(tmp_path):
    page, values, text = written(report(), tmp_path)
    lines = " ".join(text.replace("\u00a0", " ").split())
    cells = [cell.replace("\u00a0", " ") for cell in page.cells]
    given = ["0.9130.892 to 0.932", "–", "–", "12.3", "90.9", "–", "–"]  # not compared
    assert cells[9:16] == given
    for place, row in enumerate(values["candidates"][1:-1], 1):
        start = next(i for i, cell in enumerate(cells) if cell.startswith(letter_of(place) + row["name"]))
        low, high = row["difference_interval"]
        points = (
            f"{100 * row['difference']:+.2f}{100 * low:+.2f} to {100 * high:+.2f}p = {row['mcnemar_p']:.3f}"
        )
        decimals = 2 if row["latency_ms"] < 10 else 1
        assert cells[start + 1 : start + 6] == [
            f"{row['metric']:.3f}{row['interval'][0]:.3f} to {row['interval'][1]:.3f}",
            points.replace("-", "−"),
            f"{100 * row['agreement']:.1f} %"
            + " to ".join(f"{100 * bound:.1f} %" for bound in row["agreement_interval"]),
            f"{row['latency_ms']:.{decimals}f}{row['latency_ratio']:.1f}× as fast",
            f"{row['size_mb']:.1f}{row['size_ratio']:.1f}× smaller",
        ]
        assert f"{row['metric']:.3f}" in lines and f"{row['size_mb']:.1f}" in lines
    assert any("narrow" in cell for cell in cells) and any("the disk is full" in cell for cell in cells)


def test_the_page_says_what_the_json_says(tmp_path):
    page, values, text = written(report(), tmp_path)
    shown = " ".join(page.texts)
    for sentence in (values["verdict"], *values["warnings"], values["left_out"][0]["why"], *METHOD):
        assert sentence in shown
    assert values["verdict"].split(".")[0].replace("_", r"\_") in text
    assert {"5.3×", "5.2×", "−0.92", "within all limits"} <= set(page.texts)
    assert "3 s" not in page.texts and "8.3 s" in shown  # seconds of a command
    assert shown.count("✗ ") == 3 and "✗ quality" in page.texts  # two wrong answers, one broken limit
    assert "−4.13 over the choosing rows" in page.texts


def test_candidates_share_the_curves_of_their_student(tmp_path):
    data = report()
    data.candidates[3].losses = dict(data.candidates[2].losses, quantization=[0.5, 0.25])
    shown = written(data, tmp_path)[0].texts
    assert [text for text in shown if ": phase" in text or ": quantization" in text] == [
        "C half-layers-int8, D third-layers-int8: phase 1",
        "C half-layers-int8, D third-layers-int8: phase 2",
        "D third-layers-int8: quantization",
    ]


def test_without_latencies_the_report_is_silent_on_speed(tmp_path):
    data = report()
    for candidate in data.candidates:
        candidate.latency_ms = candidate.latency_ratio = None
    data.verdict = verdict(data.task, data.limits, data.candidates[0], data.candidates[2], True)
    page = written(data, tmp_path)[0]
    assert "as fast" not in " ".join(page.texts) and "5.2×" in page.texts


def test_labels_and_confusion(tmp_path):
    page, values, _ = written(report(), tmp_path)
    for row in values["candidates"][2]["per_label"]:
        place = page.cells.index(row["label"])
        assert page.cells[place + 2 : place + 4] == [
            f"{row['precision_before']:.3f} → {row['precision']:.3f}",
            f"{row['recall_before']:.3f} → {row['recall']:.3f}",
        ]
    assert all(str(count) in page.cells for row in values["candidates"][2]["confusion"] for count in row)


def test_nothing_is_loaded_or_run(tmp_path):
    page, _, _ = written(report(verdict=HOSTILE), tmp_path)
    assert not {"script", "link", "img", "iframe", "object", "base", "form", "image", "use"} & set(page.tags)
    for _tag, name, value in page.attributes:
        assert not name.startswith("on") and name not in ("href", "src", "srcset", "action", "xlink:href")
        assert "url(" not in value
    text = render(report())
    assert "url(" not in text and "@import" not in text and "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text


def test_hostile_texts_are_shown_as_they_are(tmp_path):
    page, values, text = written(hostile_report(), tmp_path)
    assert "script" not in page.tags
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\u202c", "\\u202c").replace("\u2067", "\\u2067")
    shown = shown.replace("\x07", "\\u0007")
    places = page.texts.count(shown)
    assert places >= 20, places
    assert values["verdict"] == HOSTILE
    everything = (tmp_path / "report.html").read_text(encoding="utf-8") + text
    assert "<script" not in text and not set("\u202e\u202c\u2067\x07") & set(everything)
    assert all(
        line.count(" | ") == text.splitlines()[2].count(" | ")
        for line in text.splitlines()
        if line[:1] == "|"
    )


def test_json_has_no_nan_and_no_broken_characters(tmp_path):
    data = report(verdict="half a pair \ud800")
    data.candidates[2].losses = {"phase 1": [3.0, float("nan"), float("inf")]}
    data.candidates[1].within = Within(np.bool_(True), np.bool_(True), np.bool_(False))
    data.candidates[1].metric = np.float32(0.5)
    page, values, _ = written(data, tmp_path)
    assert values["candidates"][2]["losses"] == {"phase 1": [3.0, None, None]}
    assert values["candidates"][1]["within"]["size"] is False and values["candidates"][1]["metric"] == 0.5
    assert values["verdict"] == "half a pair ?"
    assert "3.00 → –" in page.texts


def test_summary_is_one_table_with_the_verdict_first(tmp_path):
    _, _, text = written(report(), tmp_path)
    lines = text.splitlines()
    assert lines[0].startswith("half-layers-int8 is 5.3 times as fast")
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 5 and len({len(line) for line in table}) == 1
    assert [line.split(" | ")[0] for line in table if "**" in line] == ["| **half-layers-int8**"]
    assert "not quality" in table[5] and "failed" in table[6]
    assert "- narrow: the disk is full; free 310 MB" in lines
    assert "- pruned-vocabulary-int8: 17 minutes more than the time budget leaves" in lines


def test_frontier_is_what_no_other_candidate_beats_in_both():
    places = [(1, 0.5), (2, 0.7), (3, 0.6), (4, 0.7), (5, 0.9), (2, 0.65), (6, 0.2)]
    points = [Point(str(i), "", x, y, y, y, "") for i, (x, y) in enumerate(places)]
    beaten = {
        i
        for i, (x, y) in enumerate(places)
        for other in places
        if other != (x, y) and other[0] <= x and other[1] >= y
    }
    assert {int(point.letter) for point in frontier(points)} == set(range(len(places))) - beaten


@pytest.mark.parametrize("low, high", [(0.0, 13.0), (0.84, 0.93), (0.0, 0.004), (-0.2, 97.0)])
def test_ticks(low, high):
    ticks = Axis(low, high, 0, 100).ticks()
    assert 3 <= len(ticks) <= 11 and low <= ticks[0] and ticks[-1] <= high
    assert len({round(b - a, 9) for a, b in zip(ticks, ticks[1:], strict=False)}) == 1


def test_letters():
    assert [letter_of(place) for place in (0, 25, 26, 27, 52)] == ["A", "Z", "AA", "AB", "BA"]


def test_formats():
    assert fmt.points(-0.00461) == "−0.46" and fmt.points_interval([-0.012, 0.003]) == "−1.20 to +0.30"
    assert [fmt.duration(seconds) for seconds in (4.24, 200, 7500)] == ["4.2 s", "3 min 20 s", "2 h 5 min"]
    assert [fmt.p_value(p) for p in (0.0525, 0.0004, None)] == [
        "p\u00a0=\u00a00.052",
        "p\u00a0<\u00a00.001",
        "",
    ]
    assert [fmt.loss(value) for value in (8.213, 0.03123, 12.3, 1234.0)] == [
        "8.21",
        "0.0312",
        "12.3",
        "1.23e+03",
    ]
    assert fmt.quantity(9.996) == "10.0"


def test_elements_are_escaped():
    made = element("p", "a < b", element("b", "&"), " > c", title='"<>"', data_label="x", class_=None)
    assert (
        serialize(made).splitlines()[1]
        == '<p title="&quot;<&gt;&quot;" data-label="x">a &lt; b<b>&amp;</b> &gt; c</p>'
    )
