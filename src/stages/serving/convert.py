"""Conversion of any supported weight file to a model folder, checked name by name against its config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...config.bert_config import BertConfig
from ...errors import UserError
from ...output_dir import atomic_output_dir, check_output_dir
from ...weights import huggingface
from ...weights.reader import Weights, read_weights

if TYPE_CHECKING:
    from ...tools.convert import ConvertConfig

WEIGHT_FILE = {"project": "model.safetensors", "hf": "model.safetensors", "ckpt": "model.ckpt"}


def convert(config: ConvertConfig) -> Path:
    """Run one conversion (ConvertConfig) and return the output folder.

    Nothing is written or deleted before the weights are known to be complete.
    """
    check_output_dir(config.output_dir, config.overwrite_output_dir, (config.input,))
    weights = read_weights(config.input, config.part or None)
    bert = _bert_config(config, weights)
    arrays, dropped = huggingface.drop_unused_pooler(bert, weights.arrays)
    weights.ignored_names.extend(dropped)
    huggingface.check_weights(arrays, bert, weights.source)
    values = bert.to_json_dict()
    if config.to == "hf":
        huggingface.check_transformers_support(bert, weights.source)
        arrays, values = huggingface.drop_projection(arrays), huggingface.transformers_config(bert)
        arrays = _without_ranges(arrays, bert)
    with atomic_output_dir(
        config.output_dir, config.overwrite_output_dir, (config.input,), huggingface.MODEL_FILES
    ) as folder:
        huggingface.write_weights(folder / WEIGHT_FILE[config.to], arrays)
        huggingface.write_metadata(folder, values, weights.source.parent)
    _report(weights, arrays, bert, Path(config.output_dir))
    return Path(config.output_dir)


def _without_ranges(arrays: Mapping[str, np.ndarray], bert: BertConfig) -> dict[str, np.ndarray]:
    """The float weights for transformers, which does not quantize; dropped ranges are reported."""
    kept = huggingface.without_ranges(arrays)
    if bert.quantization:
        print(
            f"note: transformers runs this model in float: the bit widths and {len(arrays) - len(kept)} "
            "input ranges are dropped, the weights are those before rounding"
        )
    return kept


def _bert_config(config: ConvertConfig, weights: Weights) -> BertConfig:
    file = config.config_file or weights.config_file
    if not file:
        raise UserError(
            f"{weights.source} has no config.json next to it; give one with --config_file"
            f"{_describe_sizes(weights.arrays)}"
        )
    bert, note = huggingface.infer_labels(BertConfig.from_json(file), weights.arrays)
    if note:
        print(f"note: {note}")
    return bert


def _describe_sizes(arrays: Mapping[str, np.ndarray]) -> str:
    """The config values that the weights imply; the number of heads is not among them."""
    words = arrays.get("bert.embeddings.word_embeddings.weight")
    inner = arrays.get("bert.encoder.layer.0.intermediate.dense.weight")
    if words is None or inner is None:
        return ""
    layers = len({name.split(".")[3] for name in arrays if name.startswith("bert.encoder.layer.")})
    return (
        f" (the weights imply vocab_size {words.shape[0]}, hidden_size {words.shape[1]}, "
        f"num_hidden_layers {layers}, intermediate_size {inner.shape[0]})"
    )


def _report(weights: Weights, arrays: Mapping[str, np.ndarray], bert: BertConfig, output: Path) -> None:
    count = sum(array.size for array in arrays.values())
    print(
        f"read {weights.source}: {len(arrays)} weights, {count:,} numbers, {bert.num_hidden_layers} layers "
        f"of {bert.hidden_size}, {bert.num_labels or 'no'} outputs"
    )
    if weights.ignored_names:
        print(f"ignored: {', '.join(weights.ignored_names)}")
    if weights.optimizer_values:
        print(f"ignored: {weights.optimizer_values} values of the optimizer and its schedule")
    from_zoo = weights.source.suffix == ".ckpt" and not weights.config
    if from_zoo and bert.num_labels and bert.head_activation == "none":
        print(
            "note: the model zoo's TinyBERT and Q8BERT apply ReLU before the classifier; if this model is "
            'one of them, set "head_activation": "relu" in its config.json'
        )
    if not huggingface.tokenizer_files(output):
        print(f"note: no tokenizer files next to {weights.source}; copy vocab.txt to {output}")
    print(f"wrote {output}")
