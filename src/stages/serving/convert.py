"""Conversion: any weight file that can be read -> a model folder, checked name by name against its config."""

from pathlib import Path

from ...config.bert_config import BertConfig
from ...errors import UserError
from ...output_dir import atomic_output_dir, check_output_dir
from ...weights import huggingface
from ...weights.reader import read_weights

WEIGHT_FILE = {"project": "model.safetensors", "hf": "model.safetensors", "ckpt": "model.ckpt"}


def convert(config):
    """Run one conversion (ConvertConfig) and return the folder written.

    Nothing is written, and nothing deleted, before the weights are known to be whole.
    """
    check_output_dir(config.output_dir, config.overwrite_output_dir, (config.input,))
    weights = read_weights(config.input, config.part or None)
    bert = _bert_config(config, weights)
    arrays, left_out = huggingface.drop_unused_pooler(bert, weights.arrays)
    weights.set_aside.extend(left_out)
    huggingface.check_weights(arrays, bert, weights.source)
    values = bert.to_json_dict()
    if config.to == "hf":
        huggingface.refuse_what_transformers_lacks(bert, weights.source)
        arrays, values = huggingface.drop_projection(arrays), huggingface.plain_config(bert)
        arrays = _without_ranges(arrays, bert)
    with atomic_output_dir(
        config.output_dir, config.overwrite_output_dir, (config.input,), huggingface.MODEL_FILES
    ) as folder:
        huggingface.write_weights(folder / WEIGHT_FILE[config.to], arrays)
        huggingface.write_beside(folder, values, weights.source.parent)
    _report(weights, arrays, bert, Path(config.output_dir))
    return Path(config.output_dir)


def _without_ranges(arrays, bert):
    """The weights in float for transformers, which does not quantize; what is left out is said."""
    kept = huggingface.without_ranges(arrays)
    if bert.quantization:
        print(
            f"note: transformers computes this model in float: the bits and {len(arrays) - len(kept)} "
            "ranges of inputs are left out, the weights are those from before rounding"
        )
    return kept


def _bert_config(config, weights):
    file = config.config_file or weights.config_file
    if not file:
        raise UserError(
            f"{weights.source} has no config.json beside it; give one with --config_file"
            f"{_sizes(weights.arrays)}"
        )
    bert, note = huggingface.infer_labels(BertConfig.from_json(file), weights.arrays)
    if note:
        print(f"note: {note}")
    return bert


def _sizes(arrays):
    """What the weights themselves tell about a config; the number of heads cannot be seen in them."""
    words = arrays.get("bert.embeddings.word_embeddings.weight")
    inner = arrays.get("bert.encoder.layer.0.intermediate.dense.weight")
    if words is None or inner is None:
        return ""
    layers = len({name.split(".")[3] for name in arrays if name.startswith("bert.encoder.layer.")})
    return (
        f" (the weights say vocab_size {words.shape[0]}, hidden_size {words.shape[1]}, "
        f"num_hidden_layers {layers}, intermediate_size {inner.shape[0]})"
    )


def _report(weights, arrays, bert, output):
    count = sum(array.size for array in arrays.values())
    print(
        f"read {weights.source}: {len(arrays)} weights, {count:,} numbers, {bert.num_hidden_layers} layers "
        f"of {bert.hidden_size}, {bert.num_labels or 'no'} outputs"
    )
    if weights.set_aside:
        print(f"set aside: {', '.join(weights.set_aside)}")
    if weights.ignored:
        print(f"passed over: {weights.ignored} values of the optimizer and its schedule")
    if (
        weights.source.suffix == ".ckpt"
        and not weights.config
        and bert.num_labels
        and bert.head_activation == "none"
    ):
        print(
            "note: the model zoo's TinyBERT and Q8BERT put ReLU before the classifier; if this model comes "
            'from them, set "head_activation": "relu" in its config.json'
        )
    if not huggingface.tokenizer_files(output):
        print(f"note: no tokenizer files beside {weights.source}; put vocab.txt into {output}")
    print(f"wrote {output}")
