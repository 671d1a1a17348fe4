"""Pruning of a fine-tuned model: layers, then heads and feed-forward neurons, then the vocabulary."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...config.bert_config import BertConfig
from ...config.evaluate_config import EvaluateConfig
from ...config.fields import to_dict
from ...config.task.from_records import task_for
from ...data import splits
from ...data.dataset import TokenizedDataset
from ...data.tokenization.text_tokenizer import TextTokenizer
from ...data.tokenization.tokenizer import model_tokenizer, set_max_length, write_tokenizer
from ...errors import UserError
from ...output_dir import atomic_output_dir, check_output_dir
from ...tasks import TaskSpec
from ...weights import pruning
from ...weights.families import own_arrays
from ...weights.huggingface import (
    MODEL_FILES,
    check_weights,
    drop_projection,
    weight_count,
    write_metadata,
    write_weights,
)
from ..evaluation.evaluate import evaluate
from ..model import load
from ..model.device import setup_device
from ..model.inference import export_info, task_of
from ..model.quantization import refuse_quantized
from .importance import least_harmful_layers, measure_importance, most_important
from .vocabulary import prune_vocabulary

if TYPE_CHECKING:
    from ...tools.prune import PruneConfig

FILE, SPECIAL_FILE = "model.safetensors", "special_tokens_map.json"
Log = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What to keep of a model; None means all."""

    layers: tuple[int, ...] | None = None
    num_layers: int | None = None
    num_heads: int | None = None
    neurons: int | None = None

    @property
    def measured(self) -> bool:
        """Whether the choice needs records."""
        return any((self.num_layers, self.num_heads, self.neurons))


def prune(config: PruneConfig, log: Log = print) -> Path:
    """Run one pruning (PruneConfig) and return the output folder; `log` gets what was measured and removed.

    Nothing is written before the pruned model is complete. Raises UserError for a quantized or exported
    model, for sizes that it does not have, and where records are needed and not given.
    """
    texts = (config.vocabulary_from, config.heldout_file)
    inputs = (config.model_dir, config.train_data_dir, config.eval_data_dir, *texts)
    check_output_dir(config.output_dir, config.overwrite_output_dir, inputs)
    files = full = _read(config, log)
    sizes, tokenizer = parse_sizes(config, files.config), None
    records = _records(files, sizes, config, log) if sizes.measured else None
    if sizes.layers is not None:
        files = _keep_layers(files, sizes.layers, log)
    if records:
        files = _prune_measured(files, sizes, records, config, log)
    if config.vocabulary_from:
        files, tokenizer = prune_vocabulary(files, config, log)
    check_weights(files.arrays, files.config, files.source)
    with atomic_output_dir(config.output_dir, config.overwrite_output_dir, inputs, MODEL_FILES) as folder:
        _write(folder, files, tokenizer)
        size = (folder / FILE).stat().st_size
    log(
        f"{weight_count(full.config):,} -> {weight_count(files.config):,} parameters, "
        f"{4 * weight_count(full.config) / 1e6:.1f} -> {size / 1e6:.1f} MB\nwrote {config.output_dir}"
    )
    if config.eval_data_dir:
        names = [field.name for field in dataclasses.fields(EvaluateConfig) if hasattr(config, field.name)]
        values = {name: getattr(config, name) for name in names if name not in ("model_dir", "output_dir")}
        evaluate(EvaluateConfig(**values, model_dir=config.output_dir))
    return Path(config.output_dir)


def _read(config: PruneConfig, log: Log) -> load.ModelFiles:
    if export_info(Path(config.model_dir)):
        raise UserError(f"{config.model_dir} is an export; give the model folder it was made from")
    files = load.read_model(config.model_dir, log, ignore_unexpected=config.ignore_unexpected)
    refuse_quantized(files)
    task_of(files)
    model_tokenizer(files)
    check_weights(files.arrays, files.config, files.source)
    return dataclasses.replace(files, arrays=drop_projection(files.arrays))


def parse_sizes(config: PruneConfig, bert: BertConfig) -> Sizes:
    """The Sizes that flags ask of a model. Raises UserError where they do not fit it."""
    if config.layers and config.num_layers:
        raise UserError("--layers and --num_layers are mutually exclusive")
    share = config.intermediate_size
    neurons = round(share * bert.intermediate_size) if share < 1 else int(share)
    # 1 may be meant as all of them.
    if share and not neurons or share >= 1 and (neurons != share or neurons == 1):
        raise UserError(
            f"--intermediate_size {share:g} must be a whole number above 1, or a fraction below 1 that "
            f"leaves some of {bert.intermediate_size} neurons"
        )
    for flag, value, most in (
        ("num_layers", config.num_layers, bert.num_hidden_layers),
        ("num_heads", config.num_heads, bert.num_attention_heads),
        ("intermediate_size", neurons, bert.intermediate_size),
    ):
        if value > most:
            raise UserError(f"--{flag} {value} is more than {config.model_dir} has, {most}")
    layers = _parse_layers(config.layers, bert) if config.layers else None
    sizes = Sizes(layers, config.num_layers or None, config.num_heads or None, neurons or None)
    if sizes == Sizes() and not config.vocabulary_from:
        raise UserError(
            "nothing to prune: give --layers or --num_layers, --intermediate_size, --num_heads or "
            "--vocabulary_from"
        )
    if config.eval_data_dir and config.vocabulary_from:
        raise UserError(
            "--eval_data_dir holds ids of the complete vocabulary; leave it out, prepare records with "
            "--vocab_file of the pruned model and evaluate it on them"
        )
    if config.heldout_file and not config.vocabulary_from:
        raise UserError("--heldout_file is for --vocabulary_from; give both")
    return sizes


def _parse_layers(text: str, bert: BertConfig) -> tuple[int, ...]:
    try:
        layers = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f'--layers "{text}" is not a list of numbers such as 0,2,5') from None
    if max(layers) >= bert.num_hidden_layers or min(layers) < 0:
        raise UserError(f"--layers {text}: the model has the layers 0 to {bert.num_hidden_layers - 1}")
    if layers != sorted(set(layers)):
        raise UserError(f"--layers {text} is not ascending; the layers of a model keep their order")
    return tuple(layers)


def _records(
    files: load.ModelFiles, sizes: Sizes, config: PruneConfig, log: Log
) -> tuple[TaskSpec, TokenizedDataset]:
    """The task and the sampled rows on which importance is measured."""
    if not config.train_data_dir:
        raise UserError(
            "--num_layers, --num_heads and --intermediate_size measure importance on records of the task: "
            "give --train_data_dir (layers can be chosen by --layers without)"
        )
    task = task_for(to_dict(config))
    dataset = splits.read_split(config, config.train_data_dir, "train")
    if sizes.num_heads or sizes.neurons:  # layers are chosen by logits
        dataset = splits.labeled_rows(dataset, config.train_data_dir, log)
    splits.check_models(dataset, [(files.config, files.tokenizer_dir)], task, config.train_data_dir)
    dataset = splits.sample_rows(dataset, config.importance_rows, lambda text: None)
    log(f"importance is measured on {dataset.rows} rows of {config.train_data_dir}")
    return task, dataset


def _prune_measured(
    files: load.ModelFiles,
    sizes: Sizes,
    records: tuple[TaskSpec, TokenizedDataset],
    config: PruneConfig,
    log: Log,
) -> load.ModelFiles:
    """Layers first: the importance of heads and neurons is that in the model whose layers are left."""
    (task, dataset), device = records, setup_device(config, log)
    if sizes.num_layers:
        loader = splits.make_loader(dataset, config, config.eval_batch_size, shuffle=False)
        kept = least_harmful_layers(files, sizes.num_layers, device, loader, log)
        files = _keep_layers(files, kept, log)
    if not (sizes.num_heads or sizes.neurons):
        return files
    loader = splits.make_loader(dataset, config, config.importance_batch_size, shuffle=False)
    importance = measure_importance(files, task, device, loader)
    arrays, bert = files.arrays, files.config
    if sizes.num_heads:
        kept_heads = most_important(importance.heads, sizes.num_heads)
        arrays, bert = pruning.keep_heads(arrays, bert, kept_heads)
        log(f"heads kept, by layer: {'; '.join(', '.join(map(str, layer)) for layer in kept_heads)}")
    if sizes.neurons:
        kept_neurons = most_important(importance.neurons, sizes.neurons)
        arrays, bert = pruning.keep_neurons(arrays, bert, kept_neurons)
        shares = np.take_along_axis(importance.neurons, kept_neurons, 1).sum(1) / importance.neurons.sum(1)
        listed = ", ".join(f"{share:.0%}" for share in shares)
        log(f"neurons kept: {sizes.neurons} a layer, with {listed} of the importance of each layer")
    return dataclasses.replace(files, arrays=arrays, config=bert)


def _keep_layers(files: load.ModelFiles, kept: tuple[int, ...], log: Log) -> load.ModelFiles:
    arrays, bert = pruning.keep_layers(files.arrays, files.config, kept)
    ours, theirs = (",".join(str(layer + first) for layer in kept) for first in (0, 1))
    log(f"layers kept: {ours}; in a distillation from the complete model, --layer_map {theirs}")
    return dataclasses.replace(files, arrays=arrays, config=bert)


def _write(folder: Path, files: load.ModelFiles, tokenizer: TextTokenizer | None) -> None:
    """Write the model folder; `tokenizer` replaces that of `files`."""
    assert files.tokenizer_dir, "the model was refused without a tokenizer"
    write_metadata(folder, files.config, None if tokenizer else files.tokenizer_dir)
    if tokenizer:
        write_tokenizer(tokenizer, folder)
        special = files.tokenizer_dir / SPECIAL_FILE
        if special.is_file():
            shutil.copyfile(special, folder / SPECIAL_FILE)
    write_weights(folder / FILE, own_arrays(files.arrays, files.config))
    set_max_length(folder, files.config.max_position_embeddings)
