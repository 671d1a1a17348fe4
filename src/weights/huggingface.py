"""Model folders in Hugging Face's layout: expected weights, atomic writing."""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config.bert_config import RELATIVE_DISTANCE, BertConfig
from ..config.quantization import RANGE, Quantization, is_range
from ..digests import SUMS_FILE
from ..errors import Shape, UserError, describe_mismatch, did_you_mean, join_names
from ..families import BERT_ONLY
from ..files import atomic_directory, write_json
from .families import POSITIONS, own_arrays, used_positions
from .mindspore_ckpt import write_ckpt
from .names import matches

if TYPE_CHECKING:
    from .reader import Weights

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "added_tokens.json",
)
# Every file that this project writes to a model folder; eval_results.json comes from evaluate.
MODEL_FILES = (
    "config.json",
    "model.safetensors",
    "model.ckpt",
    "model.onnx",
    "model.mindir",
    "model.air",
    "bert_model.ckpt.index",
    "bert_model.ckpt.data-00000-of-00001",
    "bert_config.json",
    "metrics.json",
    "eval_results.json",
    SUMS_FILE,
    *TOKENIZER_FILES,
)
SHOWN = 6  # names in a note; the rest are counted
HEAD, POOLER = "classifier.weight", "bert.pooler."
PROJECTION = "hidden_projection."  # trained by distillation, not part of the model
RELATIVE_TABLES = ("relative_keys", "relative_values")
PROJECT_KEYS = (*BERT_ONLY, "attention_head_size", "label_separator", "quantization")

SLACK = 1 << 26  # numbers by which a config may exceed its weights before they are compared by name

Arrays = Mapping[str, np.ndarray]


def expected_shapes(config: BertConfig) -> dict[str, Shape]:
    """{Hugging Face name: shape} of every weight of a BertConfig; the head only when it has labels."""
    hidden = config.hidden_size
    width = config.embedding_width
    shapes: dict[str, Shape] = {"bert.embeddings.word_embeddings.weight": (config.vocab_size, width)}
    if config.type_vocab_size:
        shapes["bert.embeddings.token_type_embeddings.weight"] = (config.type_vocab_size, width)
    shapes.update(_norm("bert.embeddings.LayerNorm", width))
    if not config.use_relative_positions:
        shapes[POSITIONS] = (config.max_position_embeddings, width)
    if width != hidden:
        shapes.update(_dense("bert.embeddings_project", width, hidden))
    for layer in range(config.num_hidden_layers):
        shapes.update(_layer_shapes(f"bert.encoder.layer.{layer}.", config))
    if not config.by_token:
        shapes.update(_dense("bert.pooler.dense", hidden, hidden))
    if config.num_labels:
        shapes.update(_dense("classifier", hidden, config.num_labels))
    return {**shapes, **_ranges(shapes, config.quantization)}


def quantizable_layers(config: BertConfig) -> list[str]:
    """Names of the embedding tables and dense layers of a BertConfig, in the order of the forward pass."""
    shapes = expected_shapes(config.replace(quantization=None))
    names = [name.removesuffix(".weight") for name, shape in shapes.items() if len(shape) == 2]
    return [name for name in names if not name.endswith(".table")]


def check_float_layers(config: BertConfig, source: object) -> None:
    """Raise UserError, naming `source`, where the quantization keeps a layer in float that is not there."""
    # A folder without its head keeps the settings of the model it was.
    known = {*quantizable_layers(config), "classifier", "bert.pooler.dense"}
    for name in config.quantization.float_layers if config.quantization else ():
        if name not in known:
            raise UserError(
                f'{source}: float_layers has "{name}", which is no dense layer or embedding of the model'
                f"{did_you_mean(name, known)}"
            )


def weight_count(config: BertConfig) -> int:
    """Number of parameters of a BertConfig, including its head."""
    return sum(math.prod(shape) for name, shape in expected_shapes(config).items() if not is_range(name))


def check_size(config: BertConfig, arrays: Arrays, source: Path) -> None:
    """Raise UserError where a config describes a model far larger than its weights, before it is built."""
    one, two = (weight_count(config.replace(num_hidden_layers=layers)) for layers in (1, 2))
    described = one + (config.num_hidden_layers - 1) * (two - one)
    held = sum(array.size for array in arrays.values())
    if described > 2 * held + SLACK:
        raise UserError(
            f"{source} holds {held:,} numbers, but its config describes {described:,} (vocab_size "
            f"{config.vocab_size}, hidden_size {config.hidden_size}, num_hidden_layers "
            f"{config.num_hidden_layers}); give the config.json that belongs to it"
        )


def check_weights(arrays: Arrays, config: BertConfig, source: Path) -> None:
    """Raise UserError unless `arrays` are exactly the weights of `config`; a hidden_projection may be added.

    A model without a head may lack the pooler, as those pretrained on masked words alone do. The message
    names missing weights, unexpected ones (with the closest missing name) and wrong shapes.
    """
    actual = {name: array.shape for name, array in drop_projection(arrays).items()}
    expected = expected_shapes(config)
    if not config.num_labels and not any(name.startswith(POOLER) for name in actual):
        expected = {name: shape for name, shape in expected.items() if not name.startswith(POOLER)}
    mismatch = describe_mismatch(actual, expected)
    if mismatch:
        raise UserError(f"{source} does not fit its config: {mismatch}")


def fit_config(
    weights: Weights, config: BertConfig | None = None, ignore_unexpected: str = ""
) -> tuple[BertConfig, Weights, list[str]]:
    """The config of weights that were read, and those of them that a model of this config has.

    `config` replaces that of the file next to the weights; `ignore_unexpected` as the flag. Returns (config,
    weights, sentences to log); what is left out joins the ignored names. Raises UserError where labels and
    classifier, or the families of config and weights, differ.
    """
    if config is None:
        assert weights.config_file, "the caller refuses weights without a config"
        config = BertConfig.from_json(weights.config_file, has_head=HEAD in weights.arrays)
    if weights.prefix not in ("", f"{config.family.weight_prefix}."):
        raise UserError(
            f"{weights.source} has weights named {weights.prefix}*, but the model_type of its config.json is "
            f"{config.model_type}; give the config.json that belongs to them"
        )
    check_size(config, weights.arrays, weights.source)
    head = weights.arrays.get(HEAD)
    config, note = (config, "") if head is None else infer_labels(config, head.shape[0])
    config = config.replace(quantization=config.quantization or weights.quantization)
    check_float_layers(config, weights.config_file or weights.source)
    _check_head(config, weights)
    arrays, dropped = drop_unused_pooler(config, used_positions(weights.arrays, config))
    arrays, unexpected = drop_unexpected(arrays, config, ignore_unexpected)
    notes = [note, weights.note]
    if unexpected:
        notes.append(f"ignored {join_names(unexpected, SHOWN)} (--ignore_unexpected)")
    ignored = sorted([*weights.ignored_names, *dropped])
    weights = dataclasses.replace(weights, arrays=arrays, ignored_names=ignored)
    return config, weights, list(filter(None, notes))


def infer_labels(config: BertConfig, outputs: int) -> tuple[BertConfig, str]:
    """The config of a classifier of `outputs` logits, with labels where it names none.

    transformers omits id2label from config.json for LABEL_0, LABEL_1; a single output means regression.
    Returns (config, a sentence to log or "").
    """
    if config.num_labels:
        return config, ""
    if outputs == 1 and not config.by_token:
        return config.replace(output_mode="regression"), "one output: treated as regression"
    labels = tuple(f"LABEL_{i}" for i in range(outputs))
    note = f"the config has no labels: using LABEL_0 .. LABEL_{outputs - 1}"
    return config.replace(labels=labels), note


def drop_unused_pooler(config: BertConfig, arrays: Arrays) -> tuple[dict[str, np.ndarray], list[str]]:
    """`arrays` without a pooler that the model does not have.

    A token classifier has none. That of a RoBERTa or an ELECTRA is the first layer of its head, for which the
    pooler of a file without a head was not trained. Returns (arrays, the dropped names).
    """
    unused = config.by_token or bool(config.family.head_names) and HEAD not in arrays
    dropped = sorted(name for name in arrays if unused and name.startswith(POOLER))
    return {name: array for name, array in arrays.items() if name not in dropped}, dropped


def drop_unexpected(
    arrays: Arrays, config: BertConfig, patterns: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """`arrays` without those that `config` does not have and that match one of `patterns`.

    Weights of a head, a pooler, ranges and projections are
    never dropped here. Returns (arrays, the dropped names).
    """
    if not patterns:
        return dict(arrays), []
    known, kept = expected_shapes(config), (PROJECTION, "classifier.", POOLER, "cls.")
    unexpected = [n for n in arrays if n not in known and not n.startswith(kept) and not is_range(n)]
    dropped = [name for name in unexpected if matches(name, patterns)]
    return {name: array for name, array in arrays.items() if name not in dropped}, dropped


def check_transformers_support(config: BertConfig, source: Path) -> None:
    """Raise UserError when transformers' BERT cannot represent this model."""
    unsupported = None
    if config.use_relative_positions:
        unsupported = "use_relative_positions"
    elif config.attention_size != config.hidden_size:
        unsupported = f"pruned attention heads ({config.num_attention_heads} of {config.head_size})"
    elif config.head_activation != "none":
        unsupported = f"head_activation {config.head_activation} before its classifier"
    if unsupported:
        raise UserError(f"{source} has {unsupported}, which transformers' BERT does not have; omit --to hf")


def transformers_config(config: BertConfig) -> dict[str, object]:
    """config.json's content without the keys that are specific to this project."""
    return {key: value for key, value in config.to_json_dict().items() if key not in PROJECT_KEYS}


def without_ranges(arrays: Arrays) -> dict[str, np.ndarray]:
    """`arrays` without the ranges of quantized inputs."""
    return {name: array for name, array in arrays.items() if not is_range(name)}


def drop_projection(arrays: Arrays) -> dict[str, np.ndarray]:
    """`arrays` without hidden_projection, which only distillation uses."""
    return {name: array for name, array in arrays.items() if not name.startswith(PROJECTION)}


def tokenizer_files(folder: str | Path) -> list[Path]:
    """The tokenizer files in a folder."""
    return [Path(folder) / name for name in TOKENIZER_FILES if (Path(folder) / name).is_file()]


def write_directory(
    path: str | Path,
    arrays: Arrays,
    config: BertConfig | Mapping[str, object],
    tokenizer_dir: str | Path | None = None,
    extra: Mapping[str, object] | None = None,
    weights: str = "model.safetensors",
) -> None:
    """Write a model folder (weights, config.json, tokenizer files) atomically, replacing an existing one.

    Parameters: `arrays` {Hugging Face name: array}; `config` a BertConfig, under whose family's names they
    are written, or the dict for config.json; `tokenizer_dir` the folder to copy tokenizer files from; `extra`
    {file name: value} written as JSON (metrics.json); `weights` the name of the weight file, .safetensors or
    .ckpt.
    """
    if isinstance(config, BertConfig):
        arrays = own_arrays(arrays, config)
    write_folder(path, lambda folder: write_weights(folder / weights, arrays), config, tokenizer_dir, extra)


def write_folder(
    path: str | Path,
    write_model: Callable[[Path], None],
    config: BertConfig | Mapping[str, object],
    tokenizer_dir: str | Path | None = None,
    extra: Mapping[str, object] | None = None,
) -> None:
    """As `write_directory`, for a model file of any kind, written by `write_model(folder)`.

    When `write_model` raises, the existing folder stays unchanged.
    """
    with atomic_directory(Path(path)) as folder:
        write_metadata(folder, config, tokenizer_dir, extra)
        write_model(folder)


def write_metadata(
    folder: Path,
    config: BertConfig | Mapping[str, object],
    tokenizer_dir: str | Path | None = None,
    extra: Mapping[str, object] | None = None,
) -> None:
    """Write all files of a model folder except the model; parameters as of `write_directory`."""
    write_json(folder / "config.json", config.to_json_dict() if isinstance(config, BertConfig) else config)
    for file in tokenizer_files(tokenizer_dir) if tokenizer_dir else ():
        shutil.copyfile(file, folder / file.name)
    for name, value in (extra or {}).items():
        write_json(folder / name, value)


def write_weights(file: Path, arrays: Arrays) -> None:
    """Write {Hugging Face name: array} to one file, .safetensors or .ckpt."""
    if file.suffix == ".ckpt":
        write_ckpt(file, arrays)
        return
    from safetensors.numpy import save_file

    # transformers rejects a file without the framework in its metadata.
    save_file(dict(arrays), str(file), metadata={"format": "pt"})


def _check_head(config: BertConfig, weights: Weights) -> None:
    head = weights.arrays.get(HEAD)
    if head is not None and len(head) != config.num_labels:
        labels = f"{len(config.labels)} labels ({', '.join(config.labels)})" if config.labels else "a score"
        raise UserError(
            f"{weights.source}: the classifier has {len(head)} outputs, but config.json describes {labels}; "
            "correct id2label there, or give the weights that belong to it"
        )


def _layer_shapes(prefix: str, config: BertConfig) -> dict[str, Shape]:
    hidden, inner, heads = config.hidden_size, config.intermediate_size, config.attention_size
    shapes: dict[str, Shape] = {}
    for name in ("query", "key", "value"):
        shapes.update(_dense(f"{prefix}attention.self.{name}", hidden, heads))
    shapes.update(_dense(f"{prefix}attention.output.dense", heads, hidden))
    shapes.update(_norm(f"{prefix}attention.output.LayerNorm", hidden))
    shapes.update(_dense(f"{prefix}intermediate.dense", hidden, inner))
    shapes.update(_dense(f"{prefix}output.dense", inner, hidden))
    shapes.update(_norm(f"{prefix}output.LayerNorm", hidden))
    if config.use_relative_positions:
        table = (2 * RELATIVE_DISTANCE + 1, config.head_size)
        shapes.update({f"{prefix}attention.self.{name}.table.weight": table for name in RELATIVE_TABLES})
    return shapes


def _ranges(shapes: Mapping[str, Shape], quantization: Quantization | None) -> dict[str, Shape]:
    """One range for each dense layer in `shapes` with a quantized input."""
    if quantization is None or not quantization.activation_bits or quantization.post_training:
        return {}
    biases = [name for name in shapes if name.endswith(".bias") and "LayerNorm" not in name]
    dense = sorted({name.removesuffix(".bias") for name in biases})
    return {f"{name}.{RANGE}": (1,) for name in dense if quantization.quantizes(name)}


def _dense(name: str, in_size: int, out_size: int) -> dict[str, Shape]:
    return {f"{name}.weight": (out_size, in_size), f"{name}.bias": (out_size,)}


def _norm(name: str, size: int) -> dict[str, Shape]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}
