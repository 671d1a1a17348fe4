"""Opens a model folder of any kind for inference: weights, model.onnx or model.mindir.

MindSpore is imported only for the kinds that need it: an ONNX file is served without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...commands import command_line
from ...config.bert_config import BertConfig
from ...data.dataloader import BucketDataLoader, SortedDataLoader, extend_buckets
from ...errors import UserError
from ...files import restore_replaced
from ...json_reader import read_json
from ...tasks import TaskSpec
from ...train.throughput import ThroughputMeter, forward_flops
from ...weights.huggingface import check_float_layers, infer_labels, tokenizer_files
from ...weights.reader import has_weights, weight_bytes
from .labels import Log, match_labels

if TYPE_CHECKING:
    from ...config.data_config import DeviceConfig, ModelConfig
    from ...data.dataset import TokenizedDataset
    from .load import ModelFiles

CONFIG_FILE, EXPORT = "config.json", "export"  # export: the key of config.json with format and precision
FILES = {"onnx": "model.onnx", "mindir": "model.mindir"}
# Where transformers.js and optimum look for a model of each precision; config.json is in the folder above.
HUB_FILES = {
    "fp32": "onnx/model.onnx",
    "int8": "onnx/model_quantized.onnx",
    "int8-dynamic": "onnx/model_quantized.onnx",
}
# Settings that an exported file does not support: its types are fixed, and ONNX Runtime runs on the CPU.
OTHER_TYPES = {"dtype": ("float16",), "compute_type": ("float16",)}
NOT_FLOAT32 = {**OTHER_TYPES, "matmul_precision": ("bf16",)}
UNSUPPORTED: Mapping[str, Mapping[str, Iterable[str]]] = {
    "mindir": OTHER_TYPES,
    "onnx": {**NOT_FLOAT32, "device_target": ("GPU", "Ascend")},
}
BUCKETS = (16, 32, 64, 128, 256)

Predict = Callable[..., np.ndarray]


@dataclasses.dataclass(frozen=True)
class InferenceModel:
    """A model ready for inference.

    `predict` takes input_ids, token_type_ids, attention_mask [B, S] and returns logits [B, C], or [B, S, C]
    per token; `source` is its file, computed in `precision`; without `any_shape` each new batch shape
    is compiled first.
    """

    predict: Predict
    config: BertConfig
    source: Path
    precision: str
    any_shape: bool
    lengths: set[int] = dataclasses.field(default_factory=set)  # of the compiled graphs

    @property
    def folder(self) -> Path:
        """The model's folder; its file is there or, in the layout hub, in a folder below it."""
        parent = self.source.parent
        in_hub = self.source.match("onnx/*.onnx") and not (parent / CONFIG_FILE).is_file()
        return parent.parent if in_hub else parent

    @property
    def tokenizer_dir(self) -> Path | None:
        """The model's folder if it contains tokenizer files, else None."""
        return self.folder if tokenizer_files(self.folder) else None

    @property
    def megabytes(self) -> float:
        """Size of the weights on disk in millions of bytes."""
        return weight_bytes(self.source) / 1e6

    def loader(self, dataset: TokenizedDataset, batch_size: int) -> SortedDataLoader | BucketDataLoader:
        """A data loader in shapes that suit the model, for one pass of `collect_logits`."""
        if self.any_shape:
            return SortedDataLoader(dataset, batch_size)
        longest = self.config.max_position_embeddings
        grid = [*(length for length in BUCKETS if length < longest), longest]
        lengths = extend_buckets(self.lengths, dataset.lengths, grid)
        self.lengths.update(lengths)
        # Single texts are common and not worth a whole batch.
        return BucketDataLoader(
            dataset, 1 if dataset.rows == 1 else batch_size, lengths, shuffle=False, seed=0
        )


def load_for_inference(
    model_dir: str | Path,
    settings: ModelConfig,
    threads: int = 0,
    log: Log = lambda text: None,
    task: TaskSpec | None = None,
    zoo_config: BertConfig | None = None,
    meter: ThroughputMeter | None = None,
) -> InferenceModel:
    """Open a model folder.

    Parameters: `settings` a ModelConfig, for MindSpore; `threads` of ONNX Runtime, 0: one per core; `log` the
    log callback; `task` the TaskSpec that determines the order of the logits (None: the model's own labels);
    `zoo_config` describes a .ckpt without config.json; `meter` counts FLOPs and compilations. Raises
    UserError for a folder without a classifier, or without one for the task, and for settings that an
    exported file does not support.
    """
    folder = Path(model_dir)
    restore_replaced(folder)
    found = find_export(folder)
    if found:
        kind, file = found
        config = BertConfig.from_json(folder / CONFIG_FILE, has_head=True)
        check_float_layers(config, folder / CONFIG_FILE)
        check_supported(settings, UNSUPPORTED[kind], file)
        model = EXPORT_LOADERS[kind](file, config, settings, threads)
        if kind == "onnx":
            model = dataclasses.replace(model, precision=export_info(folder).get("precision", "unknown"))
        return _count_flops(_reorder_for_task(model, task, log) if task else model, meter)
    return _count_flops(_load_weights(folder, settings, log, task, zoo_config, meter), meter)


def find_export(folder: Path) -> tuple[str, Path] | None:
    """(format, file) of the exported model in a folder, existing or not; None for a folder of weights."""
    info = export_info(folder)
    if info.get("layout") == "hub":
        return "onnx", folder / HUB_FILES.get(info.get("precision", ""), HUB_FILES["fp32"])
    for kind, name in FILES.items():
        if (folder / name).is_file() or info.get("format") == kind:
            return kind, folder / name
    if folder.is_dir() and not has_weights(folder):
        return next(
            (("onnx", folder / name) for name in HUB_FILES.values() if (folder / name).is_file()), None
        )
    return None


def _count_flops(model: InferenceModel, meter: ThroughputMeter | None) -> InferenceModel:
    if meter is None:
        return model
    flops = partial(forward_flops, model.config, logits_only=True)
    return dataclasses.replace(model, predict=meter.counted(model.predict, flops))


def is_token_classifier(model_dir: str | Path) -> bool:
    """Whether the config of a model folder describes a token classifier; nothing else is read."""
    path = Path(model_dir)
    file = (path if path.is_dir() else path.parent) / CONFIG_FILE
    return file.is_file() and BertConfig.from_json(file).by_token


def export_info(folder: Path) -> dict[str, str]:
    """{format, precision, layout unless flat} of a folder written by `export`, {} of any other."""
    file = folder / CONFIG_FILE
    values = read_json(file) if file.is_file() else {}
    info = values.get(EXPORT) if isinstance(values, dict) else None
    return info if isinstance(info, dict) else {}


def check_supported(
    settings: DeviceConfig, unsupported: Mapping[str, Iterable[str]], model: Path | str
) -> None:
    """Raise UserError where a DeviceConfig has one of the `unsupported` {name: values}."""
    for name, values in unsupported.items():
        if getattr(settings, name) in values:
            raise UserError(f"--{name} {getattr(settings, name)} is not supported for {model}: omit it")


def _load_onnx(file: Path, config: BertConfig, settings: DeviceConfig, threads: int) -> InferenceModel:
    from ...infer.onnx.session import OnnxModel

    model = OnnxModel(file, threads)
    if isinstance(model.outputs, int):
        config, _ = infer_labels(config, model.outputs)
    if model.outputs not in (config.num_labels, None):
        raise UserError(
            f"{file} has {model.outputs} outputs, its config.json {config.num_labels}; export the model again"
        )
    return InferenceModel(model, config, file, "unknown", any_shape=True)


def _load_mindir(file: Path, config: BertConfig, settings: DeviceConfig, threads: int) -> InferenceModel:
    from ...infer.mindir import MindirModel
    from .device import setup_device

    # A MINDIR graph has MindSpore's products.
    device = setup_device(dataclasses.replace(settings, kernels="off"), lambda text: None)
    return InferenceModel(MindirModel(file), config, file, device.precision, any_shape=True)


EXPORT_LOADERS = {"onnx": _load_onnx, "mindir": _load_mindir}


def _reorder_for_task(model: InferenceModel, task: TaskSpec, log: Log) -> InferenceModel:
    """An exported model with its logits in the order of the task's labels."""
    order = match_labels(model.config, task, model.source, log)
    if order is None:
        raise UserError(
            f"{model.source} is not a model of {task.name}: it predicts "
            f"{', '.join(model.config.labels) or 'a score'}"
        )
    indices = list(order)
    return dataclasses.replace(model, predict=lambda *columns: model.predict(*columns)[..., indices])


def _load_weights(
    folder: Path,
    settings: ModelConfig,
    log: Log,
    task: TaskSpec | None,
    zoo_config: BertConfig | None,
    meter: ThroughputMeter | None,
) -> InferenceModel:
    from ...infer.predictor import predictor
    from .device import setup_device
    from .load import load_classifier, read_model

    # A stage that describes a .ckpt by its config evaluates the student of that file.
    part = "student" if zoo_config else None
    files = read_model(folder, log, zoo_config, part, settings.ignore_unexpected)
    device = setup_device(settings, log)
    network, config = load_classifier(files, task or task_of(files), device, log)
    bits = {"float32": device.precision, "float16": "fp16"}[config.compute_type]
    precision = f"integers simulated in {bits}" if config.quantization else bits
    if meter is None:
        predict = predictor(network)
    else:
        predict = predictor(network, partial(meter.compiled, name="evaluation"))
        meter.rate = device.matmul_rate
    return InferenceModel(predict, config, files.source, precision, any_shape=False)


def task_of(files: ModelFiles) -> TaskSpec:
    """The task that a model's own labels describe. Raises UserError for a model without a head."""
    if not files.config.num_labels:
        raise UserError(
            f"{files.source} has no head; fine-tune it on a task first with {command_line('finetune')}"
        )
    config = files.config
    return TaskSpec(
        "the model's own task",
        ("text",),
        output_mode=config.output_mode,
        labels=config.labels,
        label_separator=config.label_separator,
    )


def parse_named_models(text: str, prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    """`big=DIR,small=DIR` -> {name: DIR} in that order; `prefixes` mark values that are not folders.

    Raises UserError for any other text, and for a repeated name.
    """
    models: dict[str, str] = {}
    for entry in _named_entries(text):
        name, _, value = entry.partition("=")
        if not (name and value and (value.startswith(prefixes) or Path(value).is_dir())):
            alternatives = "".join(f" or name={prefix}PRESET" for prefix in prefixes)
            raise UserError(f'--models: "{entry}" is not name=FOLDER with an existing folder{alternatives}')
        if name in models:
            raise UserError(f"--models: the name {name} is used twice; give each model its own name")
        models[name] = value
    if not models:
        raise UserError("--models is empty; give name=FOLDER")
    return models


def _named_entries(text: str) -> list[str]:
    """The entries of a list name=FOLDER,name=FOLDER, in which folders may have commas in their names."""
    entries: list[str] = []
    for part in filter(None, text.split(",")):
        longer = ",".join([*entries[-1:], part])
        if entries and ("=" not in part or Path(longer.partition("=")[2]).is_dir()):
            entries[-1] = longer
        else:
            entries.append(part)
    return entries
