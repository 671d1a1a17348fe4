"""Loads model folders into networks: strict weight names, labels matched by name."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ...commands import command_line
from ...config.bert_config import BertConfig
from ...config.quantization import is_range
from ...config.student_config import RATES, with_rates
from ...errors import UserError, join_names
from ...model.bert import BertClassifier, BertEncoder
from ...model.state_dict import load_strict
from ...tasks import TaskSpec
from ...weights.huggingface import (
    POOLER,
    check_float_layers,
    drop_projection,
    drop_unused_pooler,
    fit_config,
    tokenizer_files,
)
from ...weights.reader import read_weights
from .device import DeviceSetup
from .labels import Log, match_labels
from .quantization import align_ranges, build_network, check_ranges

HEAD = "classifier."
SHOWN = 6  # names per log line; the rest are counted


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """A model on disk: its config, weights {Hugging Face name: array} and weight file."""

    config: BertConfig
    arrays: dict[str, np.ndarray]
    source: Path

    @property
    def tokenizer_dir(self) -> Path | None:
        """The folder of the weights if it contains tokenizer files, else None."""
        folder = Path(self.source).parent
        return folder if tokenizer_files(folder) else None


def read_model(
    path: str | Path,
    log: Log,
    zoo_config: BertConfig | None = None,
    part: str | None = None,
    ignore_unexpected: str = "",
) -> ModelFiles:
    """Read a model folder or weight file; `zoo_config` describes a .ckpt without config.json.

    `part` is "student" or "teacher", for a .ckpt that contains both; `ignore_unexpected` as the flag.
    """
    weights = read_weights(path, part, strict=False, ignore_unexpected=ignore_unexpected)
    if not (weights.config_file or zoo_config):
        raise UserError(
            f"{weights.source} has no config.json next to it; run {command_line('convert')} with "
            "--config_file first"
        )
    config, weights, notes = fit_config(
        weights, None if weights.config_file else zoo_config, ignore_unexpected
    )
    for note in notes:
        log(f"{weights.source}: {note}")
    _log_ignored(weights.ignored_names, weights.source, log)
    return ModelFiles(config, weights.arrays, weights.source)


def _log_ignored(names: list[str], source: Path, log: Log) -> None:
    if names:
        log(f"{source}: ignored {join_names(sorted(names), SHOWN)}")


def load_classifier(
    files: ModelFiles,
    task: TaskSpec,
    device: DeviceSetup,
    log: Log,
    fresh_head: bool = False,
    **changes: Any,
) -> tuple[BertClassifier, BertConfig]:
    """A BertClassifier with the weights of `files`, its outputs in the order of the task's labels.

    The rows of the head are matched with the labels by name. A head that is missing or belongs to another
    task is initialized randomly if `fresh_head`, and so is a missing pooler below it, which is logged. With
    `quantization` in `changes` (of the config), input ranges missing from the files start at zero, meaning
    unset; otherwise a quantized model must have them. Returns (network, config). Raises UserError when
    weights do not match or the head does not fit.
    """
    config = files.config.for_task(task).replace(
        dtype=device.dtype, compute_type=device.compute_type, **changes
    )
    check_float_layers(config, files.source)
    order = label_order(files, task, log)
    arrays, dropped = drop_unused_pooler(config, drop_projection(files.arrays))
    _log_ignored(dropped, files.source, log)
    if order is None and not fresh_head:
        raise UserError(
            f"{files.source} has no head for {task.name} ({', '.join(task.labels) or 'a score'}) but "
            f"{_outputs(files.config)}; fine-tune it on the task first with {command_line('finetune')}"
        )
    fresh: list[str] = []
    if not (config.by_token or any(name.startswith(POOLER) for name in arrays)):
        if order is not None:
            raise UserError(_no_pooler(files.source))
        fresh.append(POOLER)
    if order is None:
        fresh.append(HEAD)
        arrays = {name: array for name, array in arrays.items() if not name.startswith(HEAD)}
        new = "pooler and head are" if POOLER in fresh else "the head is"
        log(f"{files.source}: {new} newly initialized{_previous_head(files, task)}")
    else:
        head = [name for name in arrays if name.startswith(HEAD) and not is_range(name)]
        arrays.update({name: arrays[name][list(order)] for name in head})
    network = build_network(BertClassifier, config, device)
    if "quantization" in changes:
        arrays = align_ranges(arrays, network)
    load_strict(network, arrays, files.source, optional=fresh)
    if "quantization" not in changes:
        check_ranges(network, files.source)
    return network, config


def _no_pooler(source: Path) -> str:
    return (
        f"{source} has no pooler (bert.pooler.dense.weight), which its classifier requires; give the "
        "complete weights"
    )


def _previous_head(files: ModelFiles, task: TaskSpec) -> str:
    if f"{HEAD}weight" not in files.arrays:
        return ""
    labels = ", ".join(task.labels) or "a score"
    return f", for {labels}; the previous one was for {_outputs(files.config)}"


def _outputs(config: BertConfig) -> str:
    if config.output_mode == "regression":
        return "a score"
    return ", ".join(config.labels) or f"{config.num_labels} outputs"


def drop_head(files: ModelFiles, log: Log) -> ModelFiles:
    """`files` without their classifier, so that a network gets a new one; logged."""
    if f"{HEAD}weight" not in files.arrays:
        return files
    log(f"{files.source}: its head, for {_outputs(files.config)}, is dropped (--new_head)")
    arrays = {name: array for name, array in files.arrays.items() if not name.startswith(HEAD)}
    return dataclasses.replace(files, arrays=arrays)


def load_encoder(files: ModelFiles, device: DeviceSetup, log: Log) -> tuple[BertEncoder, BertConfig]:
    """(BertEncoder with the weights of `files`, its config); a head is ignored, which is logged.

    The pooler is not used, and may be missing.
    """
    config = files.config.replace(
        labels=(), output_mode="classification", dtype=device.dtype, compute_type=device.compute_type
    )
    arrays = {
        name: array for name, array in drop_projection(files.arrays).items() if not name.startswith(HEAD)
    }
    if f"{HEAD}weight" in files.arrays:
        log(f"{files.source}: its head is not used")
    network = build_network(BertEncoder, config, device)
    load_strict(network, arrays, files.source, optional=(POOLER,))
    check_ranges(network, files.source)
    return network, config


def dropout_rates(model_config: BertConfig, values: Any) -> dict[str, float]:
    """The dropout rates of a model on disk, overridden by the flags that are set."""
    config = with_rates(model_config, values)
    return {name: getattr(config, name) for name in RATES.values()}


def label_order(files: ModelFiles, task: TaskSpec, log: Log) -> tuple[int, ...] | None:
    """`match_labels` for the head of `files`; None also where they have no head."""
    return match_labels(files.config, task, files.source, log) if f"{HEAD}weight" in files.arrays else None
