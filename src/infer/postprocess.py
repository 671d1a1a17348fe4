"""What the logits of a model say, in the words of its output mode: a row of `ANSWERS` for each.

C outputs of the model.
"""

from scipy.special import expit, softmax


class OneLabel:
    """The most probable of several labels. `config` is the model's BertConfig."""

    def __init__(self, config):
        self.labels = config.labels

    def values(self, logits):
        """Probabilities [rows, C] of logits [rows, C]."""
        return softmax(logits, axis=-1)

    def plain(self, values):
        """The answer of one row [C] as Python values: (label, probability)."""
        return self.labels[values.argmax()], float(values.max())

    def cells(self, values):
        """The answer of one row [C] as texts: label, probability."""
        return [self.labels[values.argmax()], _digits(values.max())]

    def fields(self, values):
        """The answer of one row [C] as {key: JSON value}; nulls for None."""
        if values is None:
            return {"label": None, "probability": None, "probabilities": None}
        probabilities = _by_label(self.labels, values)
        label = self.labels[values.argmax()]
        return {"label": label, "probability": probabilities[label], "probabilities": probabilities}


class AnyLabels:
    """Each label for itself, there or not; `OneLabel` explains the methods."""

    def __init__(self, config):
        self.labels, self.separator = config.labels, config.label_separator

    def values(self, logits):
        return expit(logits)

    def plain(self, values):
        return {label: float(value) for label, value in zip(self.labels, values, strict=True)}

    def cells(self, values):
        """Labels above one half, joined as in the task's own files; then every label and its probability."""
        pairs = zip(self.labels, map(_digits, values), strict=True)
        return [self.separator.join(self._chosen(values)), *(cell for pair in pairs for cell in pair)]

    def fields(self, values):
        if values is None:
            return {"labels": None, "probabilities": None}
        return {"labels": self._chosen(values), "probabilities": _by_label(self.labels, values)}

    def _chosen(self, values):
        return [label for label, value in zip(self.labels, values, strict=True) if value > 0.5]


class Score:
    """A number; `OneLabel` explains the methods."""

    def __init__(self, config):
        pass

    def values(self, logits):
        return logits

    def plain(self, values):
        return float(values[0])

    def cells(self, values):
        return [_digits(values[0])]

    def fields(self, values):
        return {"score": None if values is None else _rounded(values[0])}


ANSWERS = {"classification": OneLabel, "multi_label": AnyLabels, "regression": Score}


def _digits(value):
    return f"{value:.6f}"


def _rounded(value):
    return round(float(value), 6)


def _by_label(labels, values):
    return {label: _rounded(value) for label, value in zip(labels, values, strict=True)}
