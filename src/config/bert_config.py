"""Architecture of a BERT of any family, stored in config.json under Hugging Face's key names."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from ..errors import UserError, did_you_mean
from ..families import BERT_ONLY, FAMILIES, Family, family_names
from ..json_reader import read_object
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
UNSUPPORTED_HEAD = "ForMultipleChoice"
# Fields that config.json stores under other keys, or not at all.
SPECIAL_FIELDS = (
    *("labels", "output_mode", "dtype", "compute_type", "quantization"),
    *("model_type", "pad_token_id"),
)
PADDLE_TYPES = {"tinybert": "bert"}  # model_type in PaddleNLP: in transformers
TYPE_NAMES = {
    int: "an integer above 0",
    float: "a number, 0 or more",
    bool: "true or false",
    str: "a string",
}


# What is read of a config.json besides the sizes, as a structure of json_reader.
CONFIG_FILE = {
    "model_type?": (str, None),
    "architectures?": ([str], None),
    "id2label?": (dict, None),
    "problem_type?": (str, None),
    "position_embedding_type?": (str, None),
}
MAX_SIZE, MAXIMA = 2**31 - 1, {"num_hidden_layers": 1000}


class Head(NamedTuple):
    """Head of an output mode, as described in config.json.

    `architecture` without the prefix of the family; `labeled`: one output per label, else a single one;
    `by_token`: outputs for each token.
    """

    architecture: str
    problem_type: str | None
    labeled: bool = True
    by_token: bool = False


HEADS = {
    "classification": Head("ForSequenceClassification", "single_label_classification"),
    "multi_label": Head("ForSequenceClassification", "multi_label_classification"),
    "regression": Head("ForSequenceClassification", "regression", labeled=False),
    "token_classification": Head("ForTokenClassification", None, by_token=True),
}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Sizes, dropout rates, head and quantization of a BERT; defaults are BERT-base's (Devlin et al. 2019).

    `model_type` is a family of src/families.py. `max_position_embeddings` counts the positions that tokens
    can have: RoBERTa's config.json counts those up to its pad_token_id as well. `type_vocab_size` 0 means a
    model without token types; with 1 they are ignored. `embedding_size` 0 means hidden_size; another width is
    projected to it (ELECTRA). `attention_head_size` 0 means hidden_size / num_attention_heads; a model with
    pruned heads keeps the size of those that are left. `classifier_dropout` None means hidden_dropout_prob,
    `quantization` None a float model; `label_separator` separates the labels of a multi-label row.
    """

    model_type: str = "bert"
    vocab_size: int = 30522
    embedding_size: int = 0
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    attention_head_size: int = 0
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float | None = None
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    pad_token_id: int = 0
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
        for name in BERT_ONLY:
            if name in self.family.absent and getattr(self, name) != getattr(BertConfig, name):
                raise UserError(f"{name} {getattr(self, name)} is for BERT; a {self.model_type} has none")
        if not self.attention_head_size and self.hidden_size % self.num_attention_heads:
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
        return len(self.labels) if for_mode(HEADS, self.output_mode, "head").labeled else 1

    @property
    def by_token(self) -> bool:
        """Whether the head classifies each token, in which case there is no pooler."""
        return for_mode(HEADS, self.output_mode, "head").by_token

    @property
    def family(self) -> Family:
        """The family's differences from BERT."""
        return FAMILIES[self.model_type]

    @property
    def position_offset(self) -> int:
        """Rows of the family's position table before that of the first token."""
        return self.pad_token_id + 1 if self.family.padding_positions else 0

    @property
    def embedding_width(self) -> int:
        """Width of the embedding tables; unless it is hidden_size, a dense layer projects them to it."""
        return self.embedding_size or self.hidden_size

    @property
    def head_size(self) -> int:
        """Size of one attention head."""
        return self.attention_head_size or self.hidden_size // self.num_attention_heads

    @property
    def attention_size(self) -> int:
        """Width of query, key, value and context: that of all heads; hidden_size unless heads are pruned."""
        return self.num_attention_heads * self.head_size

    def replace(self, **changes: Any) -> BertConfig:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def for_task(self, task: TaskSpec) -> BertConfig:
        """A copy with the labels and output mode of a TaskSpec."""
        return self.replace(
            labels=task.labels, output_mode=task.output_mode, label_separator=task.label_separator
        )

    def to_json_dict(self) -> dict[str, Any]:
        """Content of config.json; transformers loads it as the class of its head (or the model without)."""
        family = self.family
        keys = _keys(family)
        keys.pop("label_separator")
        if not self.attention_head_size:
            keys.pop("attention_head_size")
        values = {key: getattr(self, name) for name, key in keys.items()}
        values[keys["max_position_embeddings"]] += self.position_offset
        if "classifier_dropout" in family.config_keys and self.classifier_dropout is None:
            values[keys["classifier_dropout"]] = self.hidden_dropout_prob
        if self.output_mode == "multi_label":
            values["label_separator"] = self.label_separator
        if self.quantization:
            values["quantization"] = self.quantization.to_json()
        head = HEADS[self.output_mode] if self.num_labels else None
        values.update(
            model_type=self.model_type,
            position_embedding_type="absolute",
            pad_token_id=self.pad_token_id,
            architectures=[family.class_prefix + (head.architecture if head else "Model")],
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
    def from_json(cls, path: str | Path, has_head: bool = False) -> BertConfig:
        """Read the config.json of a model, ours or Hugging Face's. Raises UserError if unsupported.

        Its labels count if its architecture has a head, or if the weights have a classifier (`has_head`).
        """
        values = read_object(path, CONFIG_FILE)
        named = values.get("architectures") or []
        named = [str(name).removeprefix("Tiny") for name in named]  # PaddleNLP's classes: TinyBertModel
        model_type = _model_type(values, named, path)
        family = FAMILIES[model_type]
        keys = _keys(family)
        _check_supported(values, family, keys, named, path)
        heads = {
            mode: head for mode, head in HEADS.items() if family.class_prefix + head.architecture in named
        }
        labels = _labels(values.get("id2label") or {}, path) if heads or has_head else ()
        output_mode = _output_mode(heads or HEADS, values.get("problem_type"), len(labels))
        own = {**family.defaults, **_field_values(values, keys, path)}
        pad_token_id = values.get("pad_token_id")
        if type(pad_token_id) is int and pad_token_id >= 0:
            own["pad_token_id"] = pad_token_id
        own["quantization"] = Quantization.from_json(values.get("quantization"), path)
        own["labels"] = labels if HEADS[output_mode].labeled else ()
        try:
            config = cls(model_type, **own, output_mode=output_mode)
            positions = config.max_position_embeddings - config.position_offset
            if positions < 1:
                raise UserError(f"max_position_embeddings leaves {positions} positions after pad_token_id")
            return config.replace(max_position_embeddings=positions)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None


def _keys(family: Family) -> dict[str, str]:
    """{field: key of config.json} of a family."""
    names = (field.name for field in dataclasses.fields(BertConfig))
    return {
        name: family.config_keys.get(name, name)
        for name in names
        if name not in SPECIAL_FIELDS and name not in family.absent
    }


def _model_type(values: Mapping[str, Any], named: list[Any], path: str | Path) -> str:
    """The model_type of a config.json; files of 2019 have none, but an architecture."""
    by_class = {family.class_prefix: name for name, family in FAMILIES.items()}
    implied = (by_class.get(str(name).partition("For")[0].removesuffix("Model")) for name in named)
    model_type = values.get("model_type") or next(filter(None, implied), "bert")
    model_type = PADDLE_TYPES.get(str(model_type), model_type)
    if model_type not in FAMILIES:
        raise UserError(f'{path}: model_type is "{model_type}"; supported are {family_names()}')
    return str(model_type)


def _check_supported(
    values: Mapping[str, Any], family: Family, keys: Mapping[str, str], named: list[Any], path: str | Path
) -> None:
    """Raise UserError for a config.json without the sizes, or of a model that is not supported."""
    if values.get("position_embedding_type", "absolute") != "absolute":
        raise UserError(
            f'{path}: position_embedding_type "{values["position_embedding_type"]}" is not supported'
        )
    if values.get("is_decoder"):
        raise UserError(f"{path}: is_decoder is true; only encoders are supported")
    required = (keys[name] for name in ("vocab_size", "hidden_size", "num_hidden_layers"))
    missing = [key for key in required if values.get(key) is None]
    if missing:
        raise UserError(
            f"{path}: not a BERT config, key {missing[0]} is missing{did_you_mean(missing[0], values)}"
        )
    if family.class_prefix + UNSUPPORTED_HEAD in named:
        raise UserError(
            f"{path} describes a {family.class_prefix}{UNSUPPORTED_HEAD}, which is not supported; give "
            "another model"
        )


def _field_values(values: Mapping[str, Any], keys: Mapping[str, str], path: str | Path) -> dict[str, Any]:
    """{field: value} of the keys that a config.json has. Raises UserError for values of a wrong type."""
    fields = {field.name: field for field in dataclasses.fields(BertConfig)}
    found = {name: values[key] for name, key in keys.items() if values.get(key) is not None}
    for name, value in found.items():
        _check_value(fields[name], keys[name], value, path)
    return found


def _labels(id2label: Any, path: str | Path) -> tuple[str, ...]:
    """The labels of an id2label {"0": name, ...} in index order."""
    try:
        return tuple(str(id2label[number]) for number in sorted(id2label, key=int))
    except (TypeError, ValueError):
        raise UserError(f"{path}: id2label is not an object of indices and names") from None


def _check_value(field: dataclasses.Field[Any], key: str, value: object, path: str | Path) -> None:
    """Raise UserError if config.json gives a field a value of the wrong type, or out of range."""
    kind = float if field.default is None else type(field.default)
    valid = type(value) in (int, float) if kind is float else type(value) is kind
    if valid and isinstance(value, (int, float)) and kind is not bool:
        valid = value >= 1 if kind is int else 0 <= value < math.inf  # NaN is in no range
    if not valid:
        raise UserError(f"{path}: {key} {json.dumps(value)} must be {TYPE_NAMES[kind]}")
    if kind is int and cast(int, value) > MAXIMA.get(field.name, MAX_SIZE):
        raise UserError(f"{path}: {key} {value} is more than {MAXIMA.get(field.name, MAX_SIZE):,}")


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
