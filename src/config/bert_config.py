"""The architecture of one BERT, kept in config.json beside its weights under Hugging Face's key names."""

import dataclasses
import json
import math
from typing import NamedTuple

from ..errors import UserError, did_you_mean
from ..files import read_json
from ..tasks import for_mode
from .quantization import Quantization

PRESETS = {
    # name: (layers, hidden, inner, heads); TinyBERT, Jiao et al. 2020, 4.1; the model zoo's student
    "4L-312": (4, 312, 1200, 12),
    "6L-768": (6, 768, 3072, 12),
    "4L-384": (4, 384, 1536, 12),
    "3L-312": (3, 312, 1200, 12),
    "3L-384": (3, 384, 1536, 12),
}

ATTENTION_MASK_VALUE = (
    -10000.0
)  # added to the score of a padded key; exp() of it is zero, and float16 holds it
RELATIVE_DISTANCE = 16  # Shaw et al. 2018 clip distances; beyond 16 they saw no gain

# Its head of one output for each choice has the names of a regression's.
OTHER_HEAD = "BertForMultipleChoice"
# Fields that config.json has under other keys, or not at all.
NOT_AS_THEY_ARE = ("labels", "output_mode", "dtype", "compute_type", "quantization")
KINDS = {int: "a whole number above 0", float: "a number, 0 or more", bool: "true or false", str: "a text"}


class Head(NamedTuple):
    """What config.json says of an output mode, and the form of its head.

    `labelled`: an output for each label, else a single one; `by_token`: an answer for each token.
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
    """Sizes, rates, head and bits of a BERT; defaults are BERT-base's (Devlin et al. 2019).

    `classifier_dropout` None is hidden_dropout_prob, `quantization` None a model in float; `label_separator`
    stands between several labels of a row.
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
    labels: tuple = ()
    output_mode: str = "classification"
    label_separator: str = "|"
    dtype: str = "float32"
    compute_type: str = "float32"
    quantization: Quantization | None = None

    def __post_init__(self):
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads "
                f"{self.num_attention_heads}"
            )
        if self.hidden_act not in ("gelu", "relu"):
            raise UserError(
                f'hidden_act "{self.hidden_act}" is not known; use gelu (the exact, erf form) or relu'
            )
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            rate = getattr(self, name)
            if rate is not None and not 0 <= rate < 1:
                raise UserError(f"{name} {rate} has to be from 0 to below 1")
        if self.head_activation not in ("none", "relu"):
            raise UserError(f'head_activation "{self.head_activation}" is not known; use none or relu')
        if self.head_activation != "none" and self.by_token:
            raise UserError(
                "head_activation relu is for a head on the pooled output; a token_classification "
                "model has none, leave it out"
            )

    @property
    def num_labels(self):
        """Width of the head: one output for regression, else one a label; 0 without a head."""
        return len(self.labels) if for_mode(HEADS, self.output_mode, "head").labelled else 1

    @property
    def by_token(self):
        """Whether the head answers for each token, and there is no pooler."""
        return for_mode(HEADS, self.output_mode, "head").by_token

    @property
    def head_size(self):
        """Width of one attention head."""
        return self.hidden_size // self.num_attention_heads

    def replace(self, **changes):
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def for_task(self, task):
        """A copy with the outputs of a TaskSpec."""
        return self.replace(
            labels=task.labels, output_mode=task.output_mode, label_separator=task.label_separator
        )

    def to_json_dict(self):
        """config.json's content; transformers reads it as the model of its head (or BertModel)."""
        values = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in (*NOT_AS_THEY_ARE, "label_separator")
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
    def from_json(cls, path):
        """Read a config.json of ours or of a Hugging Face BERT. Raises UserError for another family."""
        values = read_json(path)
        if not isinstance(values, dict):
            raise UserError(f"{path}: not a BERT config, a table of keys belongs there")
        family = values.get("model_type", "bert")
        if family != "bert":
            raise UserError(f'{path}: model_type is "{family}"; only BERT models can be read')
        if values.get("position_embedding_type", "absolute") != "absolute":
            raise UserError(
                f'{path}: position_embedding_type "{values["position_embedding_type"]}" is not supported'
            )
        if values.get("is_decoder"):
            raise UserError(f"{path}: is_decoder is true; only encoders can be read")
        known = {f.name: f for f in dataclasses.fields(cls) if f.name not in NOT_AS_THEY_ARE}
        missing = [k for k in ("vocab_size", "hidden_size", "num_hidden_layers") if values.get(k) is None]
        if missing:
            raise UserError(
                f"{path}: not a BERT config, key {missing[0]} is missing{did_you_mean(missing[0], values)}"
            )
        named = values.get("architectures") or []
        if not isinstance(named, list):
            raise UserError(f"{path}: architectures {json.dumps(named)} is not a list of names")
        if OTHER_HEAD in named:
            raise UserError(f"{path} is of a {OTHER_HEAD}, whose head cannot be read; give another model")
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


def _labels(id2label, path):
    """The labels of an id2label {"0": name, ...} in the order of their numbers."""
    try:
        return tuple(str(id2label[number]) for number in sorted(id2label, key=int))
    except (TypeError, ValueError):
        raise UserError(f"{path}: id2label is not a table of numbers and names") from None


def _check_value(field, value, path):
    """Raise UserError where config.json gives a field another kind of value, or a size that is none."""
    kind = float if field.default is None else type(field.default)
    fits = type(value) in (int, float) if kind is float else type(value) is kind
    # NaN is in no range.
    if not fits or (kind is int and value < 1) or (kind is float and not 0 <= value < math.inf):
        raise UserError(f"{path}: {field.name} {json.dumps(value)} has to be {KINDS[kind]}")


def _output_mode(heads, problem_type, count):
    """The output mode among `heads`, found as transformers does: by problem_type, else by how many labels."""
    named = [mode for mode, head in heads.items() if problem_type and head.problem_type == problem_type]
    mode = named[0] if named else next(iter(heads))
    # No class can be told from itself: one output without a better word for it is a score.
    return "regression" if mode == "classification" and count == 1 else mode


def preset(name, **changes):
    """The student architecture called `name` in `PRESETS`."""
    if name not in PRESETS:
        raise UserError(
            f'student_preset "{name}" is not known{did_you_mean(name, PRESETS)} '
            f"(there are {', '.join(PRESETS)})"
        )
    layers, hidden, inner, heads = PRESETS[name]
    return BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        intermediate_size=inner,
        num_attention_heads=heads,
        **changes,
    )
