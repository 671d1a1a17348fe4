"""Postprocessing of logits by output mode: Python values, table cells and JSON fields.

Shape letters: C outputs of the model.
"""

from typing import Protocol

import numpy as np

from ..config.bert_config import BertConfig


class Output(Protocol):
    """Interface of the three output modes of whole texts."""

    def __init__(self, config: BertConfig) -> None: ...

    def values(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities or scores [rows, C] of logits [rows, C]."""

    def to_python(self, values: np.ndarray) -> object:
        """The prediction for one row [C] as Python values."""

    def to_cells(self, values: np.ndarray) -> list[str]:
        """The prediction for one row [C] as table cells."""

    def to_fields(self, values: np.ndarray | None) -> dict[str, object]:
        """The prediction for one row [C] as {key: JSON value}; nulls for None."""


class ClassificationOutput:
    """The most probable of several labels; implements Output."""

    def __init__(self, config: BertConfig) -> None:
        self.labels = config.labels

    def values(self, logits: np.ndarray) -> np.ndarray:
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)

    def to_python(self, values: np.ndarray) -> tuple[str, float]:
        """(label, probability)"""
        return self.labels[values.argmax()], float(values.max())

    def to_cells(self, values: np.ndarray) -> list[str]:
        """label, probability"""
        return [self.labels[values.argmax()], _format(values.max())]

    def to_fields(self, values: np.ndarray | None) -> dict[str, object]:
        if values is None:
            return {"label": None, "probability": None, "probabilities": None}
        probabilities = _by_label(self.labels, values)
        label = self.labels[values.argmax()]
        return {"label": label, "probability": probabilities[label], "probabilities": probabilities}


class MultiLabelOutput:
    """A probability for each label independently; implements Output."""

    def __init__(self, config: BertConfig) -> None:
        self.labels, self.separator = config.labels, config.label_separator

    def values(self, logits: np.ndarray) -> np.ndarray:
        return np.exp(-np.logaddexp(0.0, -logits))

    def to_python(self, values: np.ndarray) -> dict[str, float]:
        """{label: probability}"""
        return {label: float(value) for label, value in zip(self.labels, values, strict=True)}

    def to_cells(self, values: np.ndarray) -> list[str]:
        """Labels above one half, joined as in the task's files, then every label and its probability."""
        pairs = zip(self.labels, map(_format, values), strict=True)
        return [self.separator.join(self._predicted(values)), *(cell for pair in pairs for cell in pair)]

    def to_fields(self, values: np.ndarray | None) -> dict[str, object]:
        if values is None:
            return {"labels": None, "probabilities": None}
        return {"labels": self._predicted(values), "probabilities": _by_label(self.labels, values)}

    def _predicted(self, values: np.ndarray) -> list[str]:
        return [label for label, value in zip(self.labels, values, strict=True) if value > 0.5]


class RegressionOutput:
    """A score; implements Output."""

    def __init__(self, config: BertConfig) -> None:
        pass

    def values(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def to_python(self, values: np.ndarray) -> float:
        return float(values[0])

    def to_cells(self, values: np.ndarray) -> list[str]:
        return [_format(values[0])]

    def to_fields(self, values: np.ndarray | None) -> dict[str, object]:
        return {"score": None if values is None else _rounded(values[0])}


OUTPUTS: dict[str, type[Output]] = {
    "classification": ClassificationOutput,
    "multi_label": MultiLabelOutput,
    "regression": RegressionOutput,
}


def _format(value: float) -> str:
    return f"{value:.6f}"


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _by_label(labels: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    return {label: _rounded(value) for label, value in zip(labels, values, strict=True)}
