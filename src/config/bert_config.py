"""Architecture of a BERT, stored in config.json next to its weights under Hugging Face's key names."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError, did_you_mean
from ..json_reader import read_json
from ..tasks import TaskSpec, for_mode
from .quantization import Quantization

PRESETS = {
    # name: (layers, hidden size, feed-forward size, heads); TinyBERT (Jiao et al. 2020, section 4.1) and the
    # model zoo's student
    "4L-312": (4, 312, 1200, 12),
    "6L-768": (6, 768, 3072, 12),
    "4L-384": (4, 384, 1536, 12),
    "3L-312": (3, 312, 1200, 12),
    "3L-384": (3, 384, 1536, 12),
}

# Added to the attention scores of padding positions: exp() of it is zero, and it fits float16.
ATTENTION_MASK_VALUE = -10000.0
HIDDEN_ACTS = ("gelu", "gelu_new", "relu")  # as transformers names them
RELATIVE_DISTANCE = 16  # Shaw et al. 2018 clip distances and saw no gain beyond 16

# Its head, one output per choice, has the weight names of a regression head.
UNSUPPORTED_HEAD = "BertForMultipleChoice"
# Fields that config.json stores under other keys, or not at all.
SPECIAL_FIELDS = ("labels", "output_mode", "dtype", "compute_type", "quantization")
TYPE_NAMES = {
    int: "an integer above 0",
    float: "a number, 0 or more",
    bool: "true or false",
    str: "a string",
}


class Head(NamedTuple):
    """Head of an output mode, as described in config.json.

    `labelled`: one output per label, else a single one; `by_token`: outputs for each token.
    """

    architecture: str
    problem_type: str | None
    labelled: bool = True
    by_token: bool = False


HEADS = {
    "classification": Head("BertForSequenceClassification", "single_label_classification"),
    "multi_label": Head("BertForSequenceClassification", "multi_label_classification"),
    "regression": Head("BertForSequenceClassification", "regression", labelled=False),
    "token_classification": Head("BertForTokenClassification", None, by_token=True),
}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Sizes, dropout rates, head and quantization of a BERT; defaults are BERT-base's (Devlin et al. 2019).

    `classifier_dropout` None means hidden_dropout_prob, `quantization` None a float model; `label_separator`
    separates the labels of a multi-label row.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float | None = None
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    use_relative_positions: bool = False
    head_activation: str = "none"
    labels: tuple[str, ...] = ()
    output_mode: str = "classification"
    label_separator: str = "|"
    dtype: str = "float32"
    compute_type: str = "float32"
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}"
            )
        if self.hidden_act not in HIDDEN_ACTS:
            raise UserError(
                f'hidden_act "{self.hidden_act}" is unknown; use gelu (the exact, erf form), gelu_new (its '
                "approximation by tanh) or relu"
            )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            rate = getattr(self, name)
            if rate is not None and not 0 <= rate < 1:
                raise UserError(f"{name} {rate} must be from 0 to below 1")
        if self.head_activation not in ("none", "relu"):
            raise UserError(f'head_activation "{self.head_activation}" is unknown; use none or relu')

    @property
    def num_labels(self) -> int:
        """Outputs of the head: one for regression, else one per label; 0 without a head."""
        return len(self.labels) if for_mode(HEADS, self.output_mode, "head").labelled else 1

    @property
    def by_token(self) -> bool:
        """Whether the head classifies each token, in which case there is no pooler."""
        return for_mode(HEADS, self.output_mode, "head").by_token

    @property
    def head_size(self) -> int:
        """Size of one attention head."""
        return self.hidden_size // self.num_attention_heads

    def replace(self, **changes: Any) -> BertConfig:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def for_task(self, task: TaskSpec) -> BertConfig:
        """A copy with the labels and output mode of a TaskSpec."""
        return self.replace(
            labels=task.labels, output_mode=task.output_mode, label_separator=task.label_separator
        )

    def to_json_dict(self) -> dict[str, Any]:
        """Content of config.json; transformers loads it as the class of its head (or BertModel)."""
        values = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in (*SPECIAL_FIELDS, "label_separator")
        }
        if self.output_mode == "multi_label":
            values["label_separator"] = self.label_separator
        if self.quantization:
            values["quantization"] = dataclasses.asdict(self.quantization)
        head = HEADS[self.output_mode] if self.num_labels else None
        values.update(
            model_type="bert",
            position_embedding_type="absolute",
            pad_token_id=0,
            architectures=[head.architecture if head else "BertModel"],
        )
        if head:
            labels = self.labels or ("LABEL_0",)
            values.update(
                id2label={str(i): name for i, name in enumerate(labels)},
                label2id={name: i for i, name in enumerate(labels)},
                problem_type=head.problem_type,
            )
        return values

    @classmethod
    def from_json(cls, path: str | Path) -> BertConfig:
        """Read the config.json of a BERT, ours or Hugging Face's. Raises UserError if unsupported."""
        values = read_json(path)
        if not isinstance(values, dict):
            raise UserError(f"{path}: not a BERT config, expected a JSON object")
        family = values.get("model_type", "bert")
        if family != "bert":
            raise UserError(f'{path}: model_type is "{family}"; only BERT models are supported')
        if values.get("position_embedding_type", "absolute") != "absolute":
            raise UserError(
                f'{path}: position_embedding_type "{values["position_embedding_type"]}" is not supported'
            )
        if values.get("is_decoder"):
            raise UserError(f"{path}: is_decoder is true; only encoders are supported")
        known = {f.name: f for f in dataclasses.fields(cls) if f.name not in SPECIAL_FIELDS}
        missing = [k for k in ("vocab_size", "hidden_size", "num_hidden_layers") if values.get(k) is None]
        if missing:
            raise UserError(
                f"{path}: not a BERT config, key {missing[0]} is missing{did_you_mean(missing[0], values)}"
            )
        named = values.get("architectures") or []
        if not isinstance(named, list):
            raise UserError(f"{path}: architectures {json.dumps(named)} is not a list of names")
        if UNSUPPORTED_HEAD in named:
            raise UserError(
                f"{path} describes a {UNSUPPORTED_HEAD}, which is not supported; give another model"
            )
        heads = {mode: head for mode, head in HEADS.items() if head.architecture in named}
        labels = _labels(values.get("id2label") or {}, path) if heads else ()
        output_mode = _output_mode(heads or HEADS, values.get("problem_type"), len(labels))
        own = {k: v for k, v in values.items() if k in known and v is not None}
        for name, value in own.items():
            _check_value(known[name], value, path)
        own["quantization"] = Quantization.from_json(values.get("quantization"), path)
        try:
            return cls(**own, labels=labels if HEADS[output_mode].labelled else (), output_mode=output_mode)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None


def _labels(id2label: Any, path: str | Path) -> tuple[str, ...]:
    """The labels of an id2label {"0": name, ...} in index order."""
    try:
        return tuple(str(id2label[number]) for number in sorted(id2label, key=int))
    except (TypeError, ValueError):
        raise UserError(f"{path}: id2label is not an object of indices and names") from None


def _check_value(field: dataclasses.Field[Any], value: object, path: str | Path) -> None:
    """Raise UserError if config.json gives a field a value of the wrong type, or out of range."""
    kind = float if field.default is None else type(field.default)
    valid = type(value) in (int, float) if kind is float else type(value) is kind
    if valid and isinstance(value, (int, float)) and kind is not bool:
        valid = value >= 1 if kind is int else 0 <= value < math.inf  # NaN is in no range
    if not valid:
        raise UserError(f"{path}: {field.name} {json.dumps(value)} must be {TYPE_NAMES[kind]}")


def _output_mode(heads: Mapping[str, Head], problem_type: str | None, count: int) -> str:
    """The output mode among `heads`, as transformers infers it: by problem_type, else by the label count."""
    named = [mode for mode, head in heads.items() if problem_type and head.problem_type == problem_type]
    mode = named[0] if named else next(iter(heads))
    # A single class cannot be classified: one output without a problem_type is a regression score.
    return "regression" if mode == "classification" and count == 1 else mode


def preset(name: str, **changes: Any) -> BertConfig:
    """The student architecture `name` of `PRESETS`."""
    if name not in PRESETS:
        raise UserError(
            f'student_preset "{name}" is unknown{did_you_mean(name, PRESETS)} (known: {", ".join(PRESETS)})'
        )
    layers, hidden_size, intermediate_size, heads = PRESETS[name]
    return BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_attention_heads=heads,
        **changes,
    )
