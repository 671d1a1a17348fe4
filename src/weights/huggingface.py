"""Model folders in Hugging Face's layout: what they must hold, and how one is written whole or not at all."""

import math
import shutil
from pathlib import Path

from safetensors.numpy import save_file

from ..config.bert_config import RELATIVE_DISTANCE
from ..config.quantization import RANGE, is_range
from ..errors import UserError, describe_mismatch
from ..files import atomic_directory, write_json
from .mindspore_ckpt import write_ckpt

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
# All that a model folder may hold: weights of one form or another, metrics, and what evaluate adds.
MODEL_FILES = (
    "config.json",
    "model.safetensors",
    "model.ckpt",
    "model.onnx",
    "model.mindir",
    "metrics.json",
    "eval_results.json",
    *TOKENIZER_FILES,
)
EXTRAS = ("hidden_projection.",)  # of the distillation, not of the model
RELATIVE_TABLES = ("relative_keys", "relative_values")


def expected_shapes(config):
    """{Hugging Face name: shape} of every weight of a BertConfig; the head only when it has labels."""
    hidden = config.hidden_size
    shapes = {
        "bert.embeddings.word_embeddings.weight": (config.vocab_size, hidden),
        "bert.embeddings.token_type_embeddings.weight": (config.type_vocab_size, hidden),
        **_norm("bert.embeddings.LayerNorm", hidden),
    }
    if not config.use_relative_positions:
        shapes["bert.embeddings.position_embeddings.weight"] = (config.max_position_embeddings, hidden)
    for layer in range(config.num_hidden_layers):
        shapes.update(_layer_shapes(f"bert.encoder.layer.{layer}.", config))
    if not config.by_token:
        shapes.update(_dense("bert.pooler.dense", hidden, hidden))
    if config.num_labels:
        shapes.update(_dense("classifier", hidden, config.num_labels))
    return {**shapes, **_ranges(shapes, config.quantization)}


def weight_count(config):
    """Number of weights of a BertConfig, those of its head included."""
    return sum(math.prod(shape) for name, shape in expected_shapes(config).items() if not is_range(name))


def check_weights(arrays, config, source):
    """Raise UserError unless `arrays` are exactly the weights of `config`; EXTRAS may be there too.

    The message names the missing, the unexpected (with the nearest missing name) and those of another shape.
    """
    wrong = describe_mismatch(
        {name: array.shape for name, array in drop_projection(arrays).items()}, expected_shapes(config)
    )
    if wrong:
        raise UserError(f"{source} does not fit its config: {wrong}")


def infer_labels(config, arrays):
    """The config with labels when the weights have a classifier and the config names none.

    transformers leaves id2label out of config.json for LABEL_0, LABEL_1; one output means regression.
    Returns (config, a sentence to say aloud or "").
    """
    head = arrays.get("classifier.weight")
    if head is None or config.num_labels:
        return config, ""
    rows = head.shape[0]
    if rows == 1 and not config.by_token:
        return config.replace(output_mode="regression"), "one output: taken as a regression"
    labels = tuple(f"LABEL_{i}" for i in range(rows))
    return config.replace(labels=labels), f"the config names no labels: taken as LABEL_0 .. LABEL_{rows - 1}"


def drop_unused_pooler(config, arrays):
    """`arrays` as a BertConfig has them: without a pooler where the head answers for each token.

    Returns (arrays, the names left out).
    """
    left_out = sorted(name for name in arrays if config.by_token and name.startswith("bert.pooler."))
    return {name: array for name, array in arrays.items() if name not in left_out}, left_out


def refuse_what_transformers_lacks(config, source):
    """Raise UserError when transformers' BERT would compute something else than this model."""
    if config.use_relative_positions:
        raise UserError(
            f"{source} has use_relative_positions, which transformers' BERT does not have; leave out --to hf"
        )
    if config.head_activation != "none":
        raise UserError(
            f"{source} has head_activation {config.head_activation} before its classifier, which "
            "transformers' BERT does not have; leave out --to hf"
        )


def plain_config(config):
    """config.json's content without the keys that only this project knows."""
    return {
        k: v
        for k, v in config.to_json_dict().items()
        if k not in ("use_relative_positions", "head_activation", "label_separator", "quantization")
    }


def without_ranges(arrays):
    """`arrays` without the ranges of quantized inputs."""
    return {name: array for name, array in arrays.items() if not is_range(name)}


def drop_projection(arrays):
    """`arrays` without what only the distillation needs (hidden_projection)."""
    return {name: array for name, array in arrays.items() if not name.startswith(EXTRAS)}


def tokenizer_files(folder):
    """The tokenizer files that a folder holds."""
    return [Path(folder) / name for name in TOKENIZER_FILES if (Path(folder) / name).is_file()]


def write_directory(path, arrays, config, tokenizer_dir=None, extra=None, weights="model.safetensors"):
    """Write a model folder: weights, config.json, the tokenizer's files; replaces the folder if it exists.

    Parameters: `arrays` {Hugging Face name: array}; `config` a BertConfig, or the dict for config.json;
    `tokenizer_dir` the folder whose tokenizer files are copied; `extra` {file name: value} written as JSON
    beside them (metrics.json); `weights` the weight file's name, .safetensors or .ckpt.
    """
    write_folder(path, lambda folder: write_weights(folder / weights, arrays), config, tokenizer_dir, extra)


def write_folder(path, write_model, config, tokenizer_dir=None, extra=None):
    """As `write_directory`, with a model file of any kind, which `write_model(folder)` writes.

    Everything is written into a folder beside `path` that then takes its name; when `write_model` raises,
    nothing has changed.
    """
    with atomic_directory(Path(path)) as folder:
        write_beside(folder, config, tokenizer_dir, extra)
        write_model(folder)


def write_beside(folder, config, tokenizer_dir=None, extra=None):
    """Write what goes with the weights in a model folder; parameters as of `write_directory`."""
    write_json(folder / "config.json", config if isinstance(config, dict) else config.to_json_dict())
    for file in tokenizer_files(tokenizer_dir) if tokenizer_dir else ():
        shutil.copyfile(file, folder / file.name)
    for name, value in (extra or {}).items():
        write_json(folder / name, value)


def write_weights(file, arrays):
    """Write {Hugging Face name: array} as one file, .safetensors or .ckpt."""
    if file.suffix == ".ckpt":
        write_ckpt(file, arrays)
    else:
        # transformers refuses a file that does not say which framework's layout it follows.
        save_file(arrays, str(file), metadata={"format": "pt"})


def _layer_shapes(prefix, config):
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes = {}
    for name in ("query", "key", "value"):
        shapes.update(_dense(f"{prefix}attention.self.{name}", hidden, hidden))
    shapes.update(_dense(f"{prefix}attention.output.dense", hidden, hidden))
    shapes.update(_norm(f"{prefix}attention.output.LayerNorm", hidden))
    shapes.update(_dense(f"{prefix}intermediate.dense", hidden, inner))
    shapes.update(_dense(f"{prefix}output.dense", inner, hidden))
    shapes.update(_norm(f"{prefix}output.LayerNorm", hidden))
    if config.use_relative_positions:
        table = (2 * RELATIVE_DISTANCE + 1, config.head_size)
        shapes.update({f"{prefix}attention.self.{n}.table.weight": table for n in RELATIVE_TABLES})
    return shapes


def _ranges(shapes, quantization):
    """One range for each dense layer among `shapes` whose input is quantized."""
    if not (quantization and quantization.activation_bits):
        return {}
    biases = [name for name in shapes if name.endswith(".bias") and "LayerNorm" not in name]
    dense = {name.removesuffix(".bias") for name in biases}
    if not quantization.quantize_classifier:
        dense -= {"classifier"}
    return {f"{name}.{RANGE}": (1,) for name in sorted(dense)}


def _dense(name, size_in, size_out):
    return {f"{name}.weight": (size_out, size_in), f"{name}.bias": (size_out,)}


def _norm(name, size):
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}
