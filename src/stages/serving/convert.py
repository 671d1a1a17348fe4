"""Conversion of any supported weight file to a model folder, checked name by name against its config."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...config.bert_config import BertConfig
from ...data.tokenization.tokenizer import set_max_length
from ...errors import UserError, printable
from ...output_dir import atomic_output_dir, check_output_dir
from ...weights import huggingface, tensorflow
from ...weights.families import own_arrays
from ...weights.mindspore_ckpt import hf_to_zoo
from ...weights.reader import Weights, read_weights

if TYPE_CHECKING:
    from ...tools.convert import ConvertConfig

WEIGHT_FILE = {"project": "model.safetensors", "hf": "model.safetensors", "ckpt": "model.ckpt"}
NAMES = {"mindspore": "the model zoo's code", "tensorflow": "Google's code"}
TF_CHECKPOINT = "bert_model.ckpt"
# What the code of another system computes, whatever the config says: {target: {field: values}}.
COMPUTED_THERE: dict[str, dict[str, tuple[object, ...]]] = {
    "mindspore": {
        "head_activation": ("relu",),
        "hidden_act": ("gelu_new", "relu"),
        "layer_norm_eps": (1e-7,),
    },
    "tensorflow": {
        "head_activation": ("none",),
        "hidden_act": ("gelu_new", "relu"),
        "layer_norm_eps": (1e-12,),
    },
}


def convert(config: ConvertConfig, networks: Mapping[str, BertConfig] | None = None) -> Path:
    """Run one conversion (ConvertConfig) and return the output folder.

    `networks` {"student", "teacher": BertConfig} describe a .ckpt of the model zoo.

    Nothing is written or deleted before the weights are known to be complete.
    """
    check_output_dir(config.output_dir, config.overwrite_output_dir, (config.input,))
    weights = read_weights(config.input, config.part or None, ignore_unexpected=config.ignore_unexpected)
    bert, weights = _fit_config(config, weights, _network_of(networks or {}, config.part, weights.arrays))
    arrays, values = weights.arrays, bert.to_json_dict()
    huggingface.check_weights(arrays, bert, weights.source)
    if config.to == "hf":
        huggingface.check_transformers_support(bert, weights.source)
        arrays, values = huggingface.drop_projection(arrays), huggingface.transformers_config(bert)
        arrays = _without_ranges(arrays, bert)
    elif config.to in COMPUTED_THERE:
        arrays, bert = _for_other_code(config.to, arrays, bert, weights.source)
        values = bert.to_json_dict()
    with atomic_output_dir(
        config.output_dir, config.overwrite_output_dir, (config.input,), huggingface.MODEL_FILES
    ) as folder:
        if config.to == "tensorflow":
            tensorflow.write_tf_checkpoint(folder / TF_CHECKPOINT, arrays)
        else:
            file = folder / WEIGHT_FILE.get(config.to, "model.ckpt")
            huggingface.write_weights(file, own_arrays(arrays, bert))
        extra = {"bert_config.json": values} if config.to == "tensorflow" else None
        huggingface.write_metadata(folder, values, weights.source.parent, extra)
        set_max_length(folder, bert.max_position_embeddings)
    _report(weights, arrays, bert, Path(config.output_dir))
    return Path(config.output_dir)


def _for_other_code(
    to: str, arrays: Mapping[str, np.ndarray], bert: BertConfig, source: Path
) -> tuple[dict[str, np.ndarray], BertConfig]:
    """Weights under the names of the model zoo or of Google, and the config without quantization."""
    if bert.model_type != "bert":
        raise UserError(f"{source} is a {bert.model_type}, which {NAMES[to]} does not have; omit --to {to}")
    general = any(name.startswith(huggingface.PROJECTION) for name in arrays) and not bert.num_labels
    kept = _without_ranges(huggingface.drop_projection(arrays), bert)
    if bert.attention_size != bert.hidden_size:
        raise UserError(
            f"{source} has pruned attention heads ({bert.num_attention_heads} of {bert.head_size}), which "
            f"{NAMES[to]} does not have; omit --to {to}"
        )
    _print_differences(to, bert)
    bert = bert.replace(quantization=None)
    if to == "tensorflow":
        tensorflow.import_tensorflow("--to tensorflow writes a TensorFlow checkpoint")
        if bert.use_relative_positions:
            raise UserError(f"{source} has use_relative_positions, which Google's BERT does not have")
        return tensorflow.hf_to_tf(kept), bert
    hidden = bert.hidden_size
    unused = {"bert.pooler.dense.weight": (hidden, hidden), "bert.pooler.dense.bias": (hidden,)}
    unused["bert.embeddings.position_embeddings.weight"] = (bert.max_position_embeddings, hidden)
    # Their cells have the weights of a pooler and of absolute positions even where nothing reads them.
    zeros = {name: np.zeros(shape, np.float32) for name, shape in unused.items() if name not in kept}
    if not bert.num_labels:
        cell = "TinyBertModel (general student)" if general else "BertModel (pretrained)"
        print(f"named as the weights of the model zoo's {cell}")
    return hf_to_zoo({**kept, **zeros}, general), bert


def _print_differences(to: str, bert: BertConfig) -> None:
    """Print what the other code computes otherwise than this model's config says."""
    for name, computed in COMPUTED_THERE[to].items():
        value = getattr(bert, name)
        if value not in computed and (name != "head_activation" or bert.num_labels):
            print(
                f"note: {NAMES[to]} computes {name} {computed[0]}, this model has {value}: the logits differ"
            )


def _without_ranges(arrays: Mapping[str, np.ndarray], bert: BertConfig) -> dict[str, np.ndarray]:
    """The float weights for code that does not quantize; dropped ranges are reported."""
    kept = huggingface.without_ranges(arrays)
    if bert.quantization:
        print(
            f"note: the output is a float model: the bit widths and {len(arrays) - len(kept)} input ranges "
            "are dropped, the weights are those before rounding"
        )
    return kept


def _fit_config(
    config: ConvertConfig, weights: Weights, network: BertConfig | None
) -> tuple[BertConfig, Weights]:
    file = config.config_file or weights.config_file
    if not file and not network:
        raise UserError(
            f"{weights.source} has no config.json next to it; give one with --config_file"
            f"{_describe_sizes(weights.arrays)}"
        )
    if file:
        weights, network = dataclasses.replace(weights, config_file=Path(file)), None
    bert, weights, notes = huggingface.fit_config(weights, network, config.ignore_unexpected)
    for note in notes:
        print(f"note: {note}")
    return bert, weights


def _network_of(
    networks: Mapping[str, BertConfig], part: str, arrays: Mapping[str, np.ndarray]
) -> BertConfig | None:
    """The network of `part`, without it the one of the same depth as the weights, else the student's."""
    layers = len({name.split(".")[3] for name in arrays if name.startswith("bert.encoder.layer.")})
    fitting = [name for name, network in networks.items() if network.num_hidden_layers == layers]
    return networks.get(part or next(iter(fitting), "student"))


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
        print(f"ignored: {printable(', '.join(weights.ignored_names))}")
    if weights.optimizer_values:
        print(f"ignored: {weights.optimizer_values} values of the optimizer and its schedule")
    from_zoo = weights.source.suffix == ".ckpt" and not weights.config
    if from_zoo and bert.num_labels and bert.head_activation == "none":
        print(
            "note: the model zoo's TinyBERT and Q8BERT apply ReLU before the classifier; if this model is "
            'one of them, give its YAML file with --config_path, or set "head_activation": "relu", '
            '"hidden_act": "gelu_new" and "layer_norm_eps": 1e-7 in the file of --config_file'
        )
    if not huggingface.tokenizer_files(output):
        print(f"note: no tokenizer files next to {weights.source}; copy vocab.txt to {output}")
    print(f"wrote {output}")
