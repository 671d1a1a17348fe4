"""Config files of MindSpore's model zoo (since its r1.3): gd_config.yaml and td_config/*.yaml.

Their first YAML document holds the values, nested in groups; the two after it hold help texts and choices.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import yaml

from ...commands import IN_CHECKOUT
from ...errors import UserError, did_you_mean
from ..bert_config import BertConfig
from ..fields import BOOLEAN, TYPE_NAMES, check_value, field_type, flag
from ..task.file import read_documents
from .zoo_recipe import ZOO_NET

Field = dataclasses.Field[Any]

SHOWN = 60  # letters of a key or value in an error message
# The zoo resolves a relative --config_path from this folder of its own.
ZOO_FOLDER = Path(__file__).parents[3] / "src" / "model_utils"
KINDS = {"general_distill": "run_general_distill.py", "task_distill": "run_task_distill.py"}
OPTIMIZER = ("learning_rate", "end_learning_rate", "power", "weight_decay", "eps")
LOSS_SCALE = ("batch_size", "loss_scale_value", "scale_factor", "scale_window")
DECAY_FILTER = ["layernorm", "bias"]  # the weights without decay, here as there
SHARED = (
    "device_target",
    "device_id",
    "max_ckpt_num",
    "do_shuffle",
    "enable_data_sink",
    "data_sink_steps",
    "load_teacher_ckpt_path",
    "schema_dir",
    "dataset_type",
    "save_ckpt_step",
)
# ModelArts, profiling of the zoo's own, and a second seed: read and not needed.
IGNORED = (
    "description",
    "data_url",
    "train_url",
    "checkpoint_url",
    "data_path",
    "output_path",
    "load_path",
    "enable_profiling",
    "modelarts_dataset_unzip_name",
    "folder_name_under_zip_file",
    "device_num",
    "onnx_path",
    "seed2",
    "result_path",
    "label_path",
)
NET_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
    "use_relative_positions",
)
NET_IGNORED = ("dtype", "compute_type")  # the zoo sets them in its code
BERT_FIELDS = {field.name: field for field in dataclasses.fields(BertConfig)}
NETS = {
    "bert_teacher_net_cfg": "teacher",
    "bert_student_net_cfg": "student",
    "td_teacher_net_cfg": "teacher",
    "td_student_net_cfg": "student",
}


def _group(prefix: str, inner: str = "", **renamed: str) -> dict[str, str]:
    """{key of a group of the optimizer: our flag}; `renamed` {key: our flag} where the names differ."""
    keys = {f"{prefix}.{name}": renamed.get(name, name) for name in LOSS_SCALE}
    optimizer = f"{prefix}.{inner}AdamWeightDecay"
    keys |= {f"{optimizer}.{name}": renamed.get(name, name) for name in OPTIMIZER}
    return {**keys, f"{optimizer}.decay_filter": ""}


PHASE2 = {"learning_rate": "phase2_learning_rate", "loss_scale_value": "phase2_loss_scale_value"}
EXPORT = {"ckpt_file": "model_dir", "file_name": "output_dir", "file_format": "format"}  # of its export.py
# Kind -> {key, with the names of its groups: our flag}; "" is a key that is only checked.
KEYS: dict[str, dict[str, str]] = {
    "general_distill": {
        **{name: name for name in (*SHARED, "distribute", "epoch_size", "data_dir")},
        "save_ckpt_path": "output_dir",
        **_group("common_cfg"),
    },
    "task_distill": {
        **{name: name for name in SHARED},
        **{
            name: name
            for name in (
                "task_type",
                "task_name",
                "do_train",
                "do_eval",
                "td_phase1_epoch_size",
                "td_phase2_epoch_size",
                "load_gd_ckpt_path",
                "load_td1_ckpt_path",
                "train_data_dir",
                "eval_data_dir",
                "assessment_method",
                "num_labels",
            )
        },
        "seed1": "seed",
        **EXPORT,
        "eval_cfg.batch_size": "eval_batch_size",
        **_group("phase1_cfg", "optimizer_cfg."),
        **_group("phase2_cfg", "optimizer_cfg.", **PHASE2),
    },
}


@dataclasses.dataclass(frozen=True)
class ZooFileConfig:
    """A config file of the model zoo."""

    GROUP: ClassVar[str] = "model"
    ZOO_KIND: ClassVar[str] = "task_distill"

    config_path: str = flag(
        "", "the model zoo's YAML file (td_config/*.yaml, gd_config.yaml); flags override its values"
    )


@dataclasses.dataclass(frozen=True)
class ZooTaskConfig(ZooFileConfig):
    """A config file of the model zoo, for a task."""

    GROUP: ClassVar[str] = "data"

    task_type: str = flag(
        "", "the model zoo's output_mode; ner: token_classification", ("", "classification", "ner")
    )


class ZooConfig(NamedTuple):
    """Content of a config file: {our field: value} and the networks of .ckpt files, teacher and student."""

    values: dict[str, Any]
    networks: dict[str, BertConfig]


class _Entry(NamedTuple):
    text: str | list[str]
    line: int


def read_zoo_config(path: str, kind: str, fields: Mapping[str, Field], task_type: str = "") -> ZooConfig:
    """Read a config file for a stage of `kind` whose config has the dataclass fields `fields`.

    `task_type` overrides that of the file. Empty values count as not given, as do those that this command
    has no flag for. Raises UserError with file and line for an unknown key, an invalid value, a file of the
    other kind, and values of the two phases that one flag cannot hold.
    """
    file = _find(path)
    entries = _entries(file)
    described = entries.get("description", _Entry(kind, 1)).text
    if described != kind and described in KINDS:
        raise UserError(f"config_path {path} is for {KINDS[str(described)]} (description: {described})")
    if str(entries.get("enable_modelarts", _Entry("false", 1)).text).lower() == "true":
        raise UserError(f"{file}: enable_modelarts is not supported; set it to False and give local paths")
    given: dict[str, tuple[str, _Entry]] = {}
    nets: dict[str, dict[str, Any]] = {"teacher": {}, "student": {}}
    values: dict[str, Any] = {}
    for key, entry in entries.items():
        place, group = f"{file}, line {entry.line}", key.partition(".")[0]
        if group in NETS:
            _add_to_net(nets[NETS[group]], key, entry, place)
            continue
        name = _field_of(key, entry, kind, place)
        if not name or name not in fields or not entry.text or (key in EXPORT and "format" not in fields):
            continue
        value = _converted(fields[name], entry.text, f"{place}: {key}")
        if name in values and values[name] != value:
            first = given[name]
            raise UserError(
                f"{place}: {key} {value} differs from {first[0]} {values[name]} in line {first[1].line}; "
                f"both are --{name} here, so give one value"
            )
        values[name], given[name] = value, (key, entry)
    is_ner = (task_type or entries.get("task_type", _Entry("", 1)).text) == "ner"
    mode = "token_classification" if is_ner else "classification"
    networks = {name: BertConfig(**{**ZOO_NET, **net}, output_mode=mode) for name, net in nets.items() if net}
    return ZooConfig(values, networks)


def student_values(net: BertConfig, fields: Mapping[str, Field]) -> dict[str, Any]:
    """The flags {name: value} of a newly initialized student with this architecture."""
    names = [name for name in (*NET_SIZES, "layer_norm_eps", "head_activation") if name in fields]
    return {**{name: getattr(net, name) for name in names}, "cls_dropout_prob": net.classifier_dropout}


def _find(path: str) -> Path:
    """The file: relative to the working folder, else, in a checkout, to where the zoo looks."""
    if not IN_CHECKOUT:  # a folder among the installed packages is none of the user's
        return Path(path)
    from_zoo = Path(os.path.normpath(ZOO_FOLDER / path))
    return from_zoo if not Path(path).is_file() and from_zoo.is_file() else Path(path)


def _entries(file: Path) -> dict[str, _Entry]:
    """{key with the names of its groups: its text and line}."""
    entries: dict[str, _Entry] = {}
    for key, node in _leaves(read_documents(file, "config_path", "YAML")[0].value, ""):
        line = node.start_mark.line + 1
        if key in entries:
            raise UserError(
                f"{file}, line {line}: duplicate key {key}, first given in line {entries[key].line}"
            )
        if isinstance(node, yaml.SequenceNode):
            entries[key] = _Entry([str(item.value) for item in node.value], line)
        else:
            entries[key] = _Entry("" if node.tag.endswith(":null") else str(node.value), line)
    return entries


def _leaves(pairs: list[tuple[yaml.Node, yaml.Node]], prefix: str) -> Iterator[tuple[str, yaml.Node]]:
    for key, node in pairs:
        if isinstance(node, yaml.MappingNode):
            yield from _leaves(node.value, f"{prefix}{str(key.value)[:SHOWN]}.")
        else:
            yield f"{prefix}{str(key.value)[:SHOWN]}", node


def _field_of(key: str, entry: _Entry, kind: str, place: str) -> str:
    """Our field of a key, "" for one that is not needed. Raises UserError for an unknown key."""
    known = KEYS[kind]
    if key not in known:
        if key in (*IGNORED, "enable_modelarts"):
            return ""
        everything = [*known, *IGNORED, *(f"{net}.{name}" for net in NETS for name in NET_SIZES)]
        raise UserError(f'{place}: unknown key "{key}"{did_you_mean(key, everything)}')
    if key.endswith("decay_filter") and entry.text != DECAY_FILTER:
        raise UserError(
            f"{place}: {key} has to be {DECAY_FILTER}: no other weights are exempt from decay here"
        )
    return known[key]


def _add_to_net(net: dict[str, Any], key: str, entry: _Entry, place: str) -> None:
    name = key.partition(".")[2]
    if name in NET_IGNORED or name == "seq_length":  # rows are padded to their own length here
        return
    if name not in NET_SIZES:
        raise UserError(f'{place}: unknown key "{key}"{did_you_mean(name, NET_SIZES)}')
    value = _converted(BERT_FIELDS[name], entry.text, f"{place}: {key}")
    net[name] = ZOO_NET["hidden_act"] if value == "gelu" else value


def _converted(field: Field, text: str | list[str], place: str) -> Any:
    """The value of a field from its text. Raises UserError that begins with `place`."""
    kind, choices = field_type(field), field.metadata.get("choices")
    if isinstance(text, list):
        raise UserError(f"{place} is a list; give a single value")
    try:
        value = BOOLEAN[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise UserError(f'{place} "{text[:SHOWN]}" is not {TYPE_NAMES[kind]}') from None
    if choices:
        value = {str(choice).lower(): choice for choice in choices}.get(str(value).lower(), value)
    check_value(field, value, place)
    return value
