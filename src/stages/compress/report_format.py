"""Numbers and texts of report.json as report.html and summary.md print them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

NONE = "–"
# Characters that reorder the text around them: embeddings, overrides and isolates (Unicode Annex 9).
REORDERING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def metric(value: float | None) -> str:
    """0.917."""
    return NONE if value is None else fixed(value, 3)


def fixed(value: float, decimals: int) -> str:
    """−0.40."""
    return _minus(f"{value:.{decimals}f}")


def interval(values: Sequence[float] | None) -> str:
    """0.896 to 0.933."""
    return "" if values is None else " to ".join(map(metric, values))


def points(value: float | None) -> str:
    """A fraction in points with a sign: −0.46."""
    return NONE if value is None else _minus(f"{100 * value:+.2f}")


def points_interval(values: Sequence[float] | None) -> str:
    """−1.20 to +0.30."""
    return "" if values is None else " to ".join(map(points, values))


def share(value: float | None) -> str:
    """98.6 %."""
    return NONE if value is None else f"{100 * value:.1f}\u00a0%"


def share_interval(values: Sequence[float] | None) -> str:
    """97.1 % to 99.4 %."""
    return "" if values is None else " to ".join(map(share, values))


def quantity(value: float | None) -> str:
    """Milliseconds, megabytes or minutes: 12.3, 4.56."""
    return NONE if value is None else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def times(value: float | None) -> str:
    """A ratio: 3.9×."""
    return NONE if value is None else f"{value:.1f}×"


def given(value: float | None) -> str:
    """A limit as it was given: 1, 0.5, 20."""
    return NONE if value is None else f"{value:g}"


def probability(value: float | None) -> str:
    """0.98."""
    return "" if value is None else f"{value:.2f}"


def p_value(value: float | None) -> str:
    """p = 0.052, p < 0.001."""
    return "" if value is None else "p\u00a0<\u00a00.001" if value < 0.001 else f"p\u00a0=\u00a0{value:.3f}"


def loss(value: float | None) -> str:
    """Three significant digits: 8.21, 0.0312."""
    return NONE if value is None else _minus(f"{value:#.3g}".rstrip("."))


def duration(seconds: float) -> str:
    """2 h 5 min, 3 min 20 s, 4.2 s."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {round(seconds) % 60} s"
    )


def _minus(text: str) -> str:
    return text.replace("-", "−")


def visible(text: str) -> str:
    """A text of unknown origin with characters that reorder or hide others written as escapes (\\u202e)."""
    return "".join(f"\\u{ord(char):04x}" if _is_hidden(char) else char for char in text)


def _is_hidden(char: str) -> bool:
    if char in "\t\n":
        return False
    return ord(char) in REORDERING or unicodedata.category(char) in ("Cc", "Cs")
