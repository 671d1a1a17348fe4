"""A model folder of any kind as a function from token ids to logits: weights, model.onnx, or model.mindir.

What a kind does not need is not imported: an ONNX file is served without MindSpore.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ...config.bert_config import BertConfig
from ...data.dataloader import BucketDataLoader, SortedDataLoader, extend_buckets
from ...errors import UserError
from ...files import read_json
from ...tasks import TaskSpec
from ...train.throughput import forward_flops
from ...weights.huggingface import tokenizer_files
from ...weights.reader import weight_bytes

CONFIG_FILE, EXPORT = "config.json", "export"  # the key of config.json that says what was exported
FILES = {"onnx": "model.onnx", "mindir": "model.mindir"}
# Settings that an exported file cannot follow: it has its own types, and ONNX Runtime computes on the CPU.
OTHER_TYPES = {"dtype": ("float16",), "compute_type": ("float16",)}
NOT_FLOAT32 = {**OTHER_TYPES, "matmul_precision": ("bf16",)}
UNSUPPORTED = {"mindir": OTHER_TYPES, "onnx": {**NOT_FLOAT32, "device_target": ("GPU", "Ascend")}}
BUCKETS = (16, 32, 64, 128, 256)


@dataclasses.dataclass(frozen=True)
class OpenModel:
    """A model ready to answer.

    `predict` takes input_ids, token_type_ids, attention_mask [B, S] and returns logits [B, C], or [B, S, C]
    of each token; `source` is its file, computed in `precision`; `any_shape` is False where each new shape
    of a batch first has to be compiled.
    """

    predict: Callable
    config: BertConfig
    source: Path
    precision: str
    any_shape: bool
    lengths: set = dataclasses.field(default_factory=set)  # those of the graphs that were compiled

    @property
    def tokenizer_dir(self):
        """The model's folder where it holds tokenizer files, else None."""
        folder = self.source.parent
        return folder if tokenizer_files(folder) else None

    @property
    def megabytes(self):
        """Millions of bytes that the weights take on disk."""
        return weight_bytes(self.source) / 1e6

    def batches(self, table, batch_size):
        """One pass over a table in the shapes that suit the model, for `collect_logits`."""
        if self.any_shape:
            return SortedDataLoader(table, batch_size)
        longest = self.config.max_position_embeddings
        grid = [*(length for length in BUCKETS if length < longest), longest]
        lengths = extend_buckets(self.lengths, table.lengths, grid)
        self.lengths.update(lengths)
        # One text alone is common, and is not worth a whole batch.
        return BucketDataLoader(table, 1 if table.rows == 1 else batch_size, lengths, shuffle=False, seed=0)


def load_for_inference(
    model_dir, settings, threads=0, log=lambda remark: None, task=None, zoo_config=None, meter=None
):
    """Open a model folder.

    Parameters: `settings` a DeviceConfig for what MindSpore computes; `threads` of ONNX Runtime, 0: as many
    as there are cores; `log` is the log callback; `task` is the TaskSpec whose labels the logits follow
    (None: the model's own); `zoo_config` describes a .ckpt without config.json; `meter` is a
    ThroughputMeter. Raises UserError for a folder that holds no classifier, or none of the task, and for
    settings that an exported file cannot follow.
    """
    folder = Path(model_dir)
    for kind, name in FILES.items():
        if (folder / name).is_file() or exported_as(folder).get("format") == kind:
            config = BertConfig.from_json(folder / CONFIG_FILE)
            check_supported(settings, UNSUPPORTED[kind], folder / name)
            model = OPENERS[kind](folder / name, config, settings, threads)
            return _counted(_for_task(model, task, log) if task else model, meter)
    return _counted(_weights(folder, settings, log, task, zoo_config, meter), meter)


def _counted(model, meter):
    if meter is None:
        return model
    operations = partial(forward_flops, model.config)
    return dataclasses.replace(model, predict=meter.counted(model.predict, operations))


def answers_by_token(model_dir):
    """Whether a model folder says that it answers for each token; nothing else of it is looked at."""
    place = Path(model_dir)
    file = (place if place.is_dir() else place.parent) / CONFIG_FILE
    return file.is_file() and BertConfig.from_json(file).by_token


def exported_as(folder):
    """{format, precision} of a folder that `export` wrote, {} of any other."""
    file = folder / CONFIG_FILE
    values = read_json(file) if file.is_file() else {}
    found = values.get(EXPORT) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def check_supported(settings, beyond, place):
    """Raise UserError where a DeviceConfig has one of the values in `beyond` {name: values}."""
    for name, values in beyond.items():
        if getattr(settings, name) in values:
            raise UserError(f"--{name} {getattr(settings, name)} is not for {place}: leave it out")


def _onnx(file, config, settings, threads):
    from ...infer.onnx.session import OnnxModel

    model = OnnxModel(file, threads)
    if model.outputs not in (config.num_labels, None):
        raise UserError(
            f"{file} has {model.outputs} outputs, its config.json {config.num_labels}; export the model again"
        )
    precision = exported_as(file.parent).get("precision", "unknown")
    return OpenModel(model, config, file, precision, any_shape=True)


def _mindir(file, config, settings, threads):
    from ...infer.mindir import MindirModel
    from .device import setup_device

    setup_device(settings, lambda remark: None)
    return OpenModel(MindirModel(file), config, file, settings.matmul_precision, any_shape=True)


OPENERS = {"onnx": _onnx, "mindir": _mindir}


def _for_task(model, task, log):
    """An exported model with its logits in the order of the task's labels."""
    from .load import match_labels

    order = match_labels(model.config, task, model.source, log)
    if order is None:
        raise UserError(
            f"{model.source} is not of {task.name}: it answers {', '.join(model.config.labels) or 'a score'}"
        )
    return dataclasses.replace(model, predict=lambda *columns: model.predict(*columns)[..., list(order)])


def _weights(folder, settings, log, task, zoo_config, meter):
    from ...infer.predictor import predictor
    from ...train.matmul_precision import matmul_rate
    from . import load
    from .device import setup_device

    # A stage that describes a .ckpt by its config asks for the student that it has made.
    files = load.read_model(folder, log, zoo_config, "student" if zoo_config else None)
    device = setup_device(settings, log)
    network, config = load.classifier_from(files, task or task_of(files), device, log)
    bits = {"float32": settings.matmul_precision, "float16": "fp16"}[config.compute_type]
    precision = f"integers simulated in {bits}" if config.quantization else bits
    if meter is None:
        predict = predictor(network)
    else:
        predict = predictor(network, partial(meter.compiled, name="evaluation"))
        meter.rate = partial(matmul_rate, device.compute_type)
    return OpenModel(predict, config, files.source, precision, any_shape=False)


def task_of(files):
    """The task that a model's own labels describe. Raises UserError for a model without a head."""
    if not files.config.num_labels:
        raise UserError(f"{files.source} has no head; fine-tune it on a task first with run_finetune.py")
    config = files.config
    return TaskSpec(
        "the model's own task",
        ("text",),
        output_mode=config.output_mode,
        labels=config.labels,
        label_separator=config.label_separator,
    )
