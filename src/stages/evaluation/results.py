"""Metrics that an evaluation wrote next to a model."""

from __future__ import annotations

from pathlib import Path

from ...json_reader import read_json
from ...metrics import AGREEMENT, METRICS

RESULT_FILES = ("eval_results.json", "metrics.json")


def metrics_of(folder: Path) -> dict[str, tuple[float, float | None]]:
    """{metric: (value, evaluated rows, if known)} of the evaluation next to a model; empty without any.

    MNLI's mismatched rows have metrics that end in _mm. Other numbers, as of transformers' Trainer, are no
    metrics.
    """
    file = next((folder / name for name in RESULT_FILES if (folder / name).is_file()), None)
    values = read_json(file) if file else {}
    found = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        name = key.removeprefix("eval_")
        metric = name.removesuffix("_mm")
        if name != key and metric in (*METRICS, AGREEMENT) and isinstance(value, (int, float)):
            found[name] = value, values.get(f"eval_samples{name.removeprefix(metric)}")
    return found
