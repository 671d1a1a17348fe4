"""Reads and writes MindSpore .ckpt files, including those of the model zoo's BERT, TinyBERT and Q8BERT.

Names in the zoo: the body consists of `bert_embedding_lookup`, `bert_embedding_postprocessor`, `bert_encoder`
and `dense` (the pooler), with one `bert.` prefix for each enclosing cell; TinyBERT's general student uses
`tinybert_`. A distillation checkpoint may contain both the teacher (`teacher.`) and the student (`bert.`).
"""

import binascii
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError, did_you_mean, join_names
from ..files import reading
from .names import matches
from .safetensors_file import widen_bfloat16

PARTS = ("student", "teacher")
# Names of types in a checkpoint; values of OTHER_TYPES (strings, tables) are not tensors.
NUMPY_TYPES = {
    **{name: name.lower() for name in ("Int8", "Int16", "Int32", "Int64", "Float16", "Float32", "Float64")},
    **{name: name.lower() for name in ("UInt8", "UInt16", "UInt32", "UInt64")},
    "Bool": "bool",
    "BFloat16": "uint16",
}
OTHER_TYPES = ("str", "")
CRC_MARK = b"crc_num"
WRAPPERS = re.compile(r"^(?:(?:network|teacher|student|bert|tinybert)\.)+")
# Optimizer, schedule and loss-scale state: counted and ignored.
OPTIMIZER_STATE = re.compile(
    r"^(?:adam_[mv]|moments?|moment[12]|accum|lamb_[mv])\.|"
    r"(?:^|\.)(?:global_step|learning_rate|loss_scale|scale_sense|beta[12]_power|epoch_num|"
    r"step_num|current_iterator_step|last_overflow_iterator_step)$"
)
# Fake-quantization ranges (MindSpore's observers call them minq and maxq, or quant_min and quant_max).
QUANTIZATION = re.compile(
    r"(?:^|\.)(?:\w*fake_quant\w*|act_quant\w*|quant_\w+|minq|maxq|clip_\w+|"
    r"activation(?:_\w+)?|\w+_(?:min|max|scale|alpha))(?:\.|$)"
)
HEADS = re.compile(r"^cls[12]\.")
POST = "embedding_postprocessor."
LAYER = "encoder.layers.{}."
HF_LAYER = "bert.encoder.layer.{}."
RELATIVE = "attention.attention._generate_relative_positions_embeddings.embeddings_table"

# zoo name (without wrappers, bert_ and tinybert_) -> Hugging Face names; both layouts of the embeddings
BODY = {
    "embedding_lookup.embedding_table": ["bert.embeddings.word_embeddings.weight"],
    POST + "embedding_table": ["bert.embeddings.token_type_embeddings.weight"],
    POST + "token_type_embedding.embedding_table": ["bert.embeddings.token_type_embeddings.weight"],
    POST + "full_position_embeddings": ["bert.embeddings.position_embeddings.weight"],
    POST + "full_position_embedding.embedding_table": ["bert.embeddings.position_embeddings.weight"],
    POST + "layernorm.gamma": ["bert.embeddings.LayerNorm.weight"],
    POST + "layernorm.beta": ["bert.embeddings.LayerNorm.bias"],
}
LAYER_DENSE = {
    **{f"attention.attention.{n}_layer": f"attention.self.{n}" for n in ("query", "key", "value")},
    "attention.output.dense": "attention.output.dense",
    "intermediate": "intermediate.dense",
    "output.dense": "output.dense",
}
LAYER_NORMS = {f"{where}.layernorm": f"{where}.LayerNorm" for where in ("attention.output", "output")}
TOP_DENSE = {"dense": "bert.pooler.dense", "dense_1": "classifier", "fit_dense": "hidden_projection"}


def read_ckpt(path: Path) -> tuple[dict[str, np.ndarray], int]:
    """({name: array}, number of values that are not tensors) of a MindSpore checkpoint; bfloat16 is widened.

    mindspore.load_checkpoint itself trusts the shapes in the file and logs errors of its own, so only its
    message class is used (mindspore/train/serialization.py). Raises UserError if the file is damaged.
    """
    from mindspore.train.checkpoint_pb2 import Checkpoint

    with reading(path, "a MindSpore checkpoint"):
        entries: dict[str, list[Any]] = {}
        for entry in Checkpoint.FromString(_checked(path.read_bytes())).value:
            entries.setdefault(entry.tag, []).append(entry.tensor)
        tensors = {tag: parts for tag, parts in entries.items() if parts[0].tensor_type not in OTHER_TYPES}
        return {tag: _array(tag, parts) for tag, parts in tensors.items()}, len(entries) - len(tensors)


def _checked(content: bytes) -> bytes:
    """The content of a checkpoint without its checksum, which is optional."""
    if content[-17:-10] != CRC_MARK:
        return content
    if binascii.crc32(content[:-17]) != int.from_bytes(content[-10:], "big"):
        raise ValueError("its checksum does not match")
    return content[:-17]


def _array(tag: str, parts: Sequence[Any]) -> np.ndarray:
    """The array of a parameter, which is stored in several parts if it is large."""
    kind, dims = parts[-1].tensor_type, tuple(parts[-1].dims)
    if kind not in NUMPY_TYPES:
        raise ValueError(f'"{tag}" has the unknown type {kind!r:.40}')
    if min(dims, default=0) < 0:
        raise ValueError(f'"{tag}" has a negative size')
    values = np.frombuffer(bytearray().join(part.tensor_content for part in parts), NUMPY_TYPES[kind])
    array = values.reshape(() if dims == (0,) else dims)  # (0,) is how MindSpore stores a scalar
    return widen_bfloat16(array) if kind == "BFloat16" else array


def write_ckpt(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write {name: array} as a MindSpore checkpoint with the same names. `path` ends in .ckpt."""
    import mindspore

    parameters = [{"name": name, "data": mindspore.Tensor(array)} for name, array in arrays.items()]
    logging.disable(logging.CRITICAL)  # of an error that it also raises
    try:
        mindspore.save_checkpoint(parameters, str(path))
    finally:
        logging.disable(logging.NOTSET)


def zoo_to_hf(
    raw: Mapping[str, np.ndarray],
    source: Path | str,
    part: str | None = None,
    strict: bool = True,
    ignore_unexpected: str = "",
) -> tuple[dict[str, np.ndarray], list[str], int]:
    """The arrays of a model zoo checkpoint under Hugging Face's names.

    Parameters: `raw` {zoo name: array}; `part` "teacher" or "student", required when the file has both; with
    `strict` that part must exist, otherwise a single model is used in its place; `ignore_unexpected` patterns
    of unknown names to ignore.
    Returns: {Hugging Face name: array}, the ignored names, the number of optimizer values.
    Raises UserError for names that no model of the zoo has, and when `part` is required or missing.
    """
    named = {name: array for name, array in raw.items() if not OPTIMIZER_STATE.search(name)}
    chosen = _choose_part(named, part, source, strict)
    relative = any(RELATIVE in name for name in chosen)
    ignored = [name for name in chosen if _is_ignored(name, relative)]
    hf_names = {name: _hf_names(name) for name in chosen if name not in set(ignored)}
    unknown = [name for name, found in hf_names.items() if not found]
    ignored += [name for name in unknown if matches(name, ignore_unexpected)]
    unknown = [name for name in unknown if name not in ignored]
    if unknown:
        raise UserError(_unknown_names(unknown, source))
    origin: dict[str, str] = {}
    for name, found in hf_names.items():
        for hf_name in found:
            if origin.setdefault(hf_name, name) != name:
                raise UserError(f'{source}: "{origin[hf_name]}" and "{name}" both map to "{hf_name}"')
    return {hf_name: chosen[name] for hf_name, name in origin.items()}, ignored, len(raw) - len(named)


def hf_to_zoo(arrays: Mapping[str, np.ndarray], general: bool = False) -> dict[str, np.ndarray]:
    """The arrays of a model under the names of the model zoo's checkpoints, as its scripts load them.

    Parameters: `arrays` {Hugging Face name: array} of one model. With a head they are named as
    BertModelCLS and BertModelNER (task distillation writes and reads them), without one as a pretrained
    BertModel, or with `general` as TinyBertModel, the general student.
    Raises UserError where keys and values have different tables of relative positions.
    """
    outer, stem = ("bert.", "tinybert_") if general else ("bert.bert.", "bert_")
    # The zoo's newer embedding names come second in BODY, and are the ones kept.
    zoo_names = {hf_name: f"{outer}{stem}{name}" for name, (hf_name,) in BODY.items()}
    zoo_names |= {f"bert.pooler.dense.{kind}": f"{outer}dense.{kind}" for kind in ("weight", "bias")}
    zoo_names |= {f"classifier.{kind}": f"bert.dense_1.{kind}" for kind in ("weight", "bias")}
    rest_of = {name: zoo for zoo in _layer_names() for name in _hf_names_in_layer("", zoo)}
    named: dict[str, np.ndarray] = {}
    for hf_name, array in arrays.items():
        layer = re.match(r"bert\.encoder\.layer\.(\d+)\.(.+)", hf_name)
        name = f"{outer}{stem}{LAYER.format(layer[1])}{rest_of[layer[2]]}" if layer else zoo_names[hf_name]
        if not np.array_equal(named.setdefault(name, array), array):
            raise UserError(
                f"layer {layer[1] if layer else 0} has different tables of relative positions for keys and "
                "values; the model zoo's BERT has a single one"
            )
    return named


def has_zoo_names(names: Iterable[str]) -> bool:
    """Whether these are the model zoo's names, not Hugging Face's."""
    return any("embedding_lookup." in name or "encoder.layers." in name for name in names)


def _is_ignored(name: str, relative: bool) -> bool:
    # With relative positions the zoo still stores the unused table of absolute ones.
    return bool(
        QUANTIZATION.search(name)
        or HEADS.match(WRAPPERS.sub("", name))
        or (relative and "full_position_embedding" in name)
    )


def _choose_part(
    named: dict[str, np.ndarray], part: str | None, source: Path | str, strict: bool
) -> dict[str, np.ndarray]:
    teacher = {name: array for name, array in named.items() if name.startswith("teacher.")}
    student = {name: array for name, array in named.items() if name not in teacher}
    if part is None and teacher and student:
        raise UserError(f"{source} contains a teacher and a student; add --part teacher or --part student")
    if strict and part == "teacher" and not teacher:
        raise UserError(f"{source} contains one model and no teacher; omit --part")
    if strict and part == "student" and not student:
        raise UserError(f"{source} contains only a teacher; omit --part")
    return teacher if (part == "teacher" and teacher) or not student else student


def _hf_names(name: str) -> list[str]:
    """Hugging Face's names for a zoo name, none if unknown; the table of relative positions has two."""
    body = WRAPPERS.sub("", name)
    body = re.sub(r"^(?:tiny)?bert_", "", body)
    if body in BODY:
        return BODY[body]
    layer = re.match(r"encoder\.layers\.(\d+)\.(.+)", body)
    if layer:
        return _hf_names_in_layer(HF_LAYER.format(layer[1]), layer[2])
    stem, _, kind = body.rpartition(".")
    return [f"{TOP_DENSE[stem]}.{kind}"] if stem in TOP_DENSE and kind in ("weight", "bias") else []


def _hf_names_in_layer(prefix: str, rest: str) -> list[str]:
    if rest == RELATIVE:
        return [f"{prefix}attention.self.relative_{which}.table.weight" for which in ("keys", "values")]
    stem, _, kind = rest.rpartition(".")
    if stem in LAYER_DENSE and kind in ("weight", "bias"):
        return [f"{prefix}{LAYER_DENSE[stem]}.{kind}"]
    if stem in LAYER_NORMS and kind in ("gamma", "beta"):
        return [f"{prefix}{LAYER_NORMS[stem]}.{'weight' if kind == 'gamma' else 'bias'}"]
    return []


def _unknown_names(unknown: list[str], source: Path | str) -> str:
    layer = re.search(r"layers\.(\d+)\.", unknown[0])
    wrappers = WRAPPERS.match(unknown[0])
    prefix = (wrappers[0] if wrappers else "") + "bert_"
    layer_prefix = prefix + LAYER.format(layer[1] if layer else 0)
    known = [prefix + name for name in BODY] + [layer_prefix + name for name in _layer_names()]
    return (
        f"{source}: {len(unknown)} names are not of the model zoo's BERT, TinyBERT or Q8BERT: "
        f"{join_names(unknown, 5)}{did_you_mean(unknown[0], known)}"
    )


def _layer_names() -> Iterator[str]:
    yield RELATIVE
    for stem in LAYER_DENSE:
        yield from (f"{stem}.weight", f"{stem}.bias")
    for stem in LAYER_NORMS:
        yield from (f"{stem}.gamma", f"{stem}.beta")
