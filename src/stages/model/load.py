"""Model folders -> networks: weights under strict names, labels by name."""

import dataclasses
from pathlib import Path

from ...config.bert_config import BertConfig
from ...config.quantization import is_range
from ...config.student_config import RATES, with_rates
from ...errors import UserError, join_names
from ...model.bert import BertClassifier, BertEncoder
from ...model.state_dict import load_strict
from ...weights.huggingface import drop_projection, drop_unused_pooler, infer_labels, tokenizer_files
from ...weights.reader import read_weights
from .quantization import align_ranges, check_ranges, layers_for

HEAD = "classifier."
SHOWN = 6  # names join_names in a remark; the rest are counted


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """A model on disk: its config, weights {Hugging Face name: array}, folder and what was set aside."""

    config: BertConfig
    arrays: dict
    source: Path

    @property
    def tokenizer_dir(self):
        """The folder beside the weights when it holds tokenizer files, else None."""
        folder = Path(self.source).parent
        return folder if tokenizer_files(folder) else None


def read_model(path, log, zoo_config=None, part=None):
    """Read a model folder or weight file; `zoo_config` describes a .ckpt without config.json.

    `part` is "student" or "teacher", for a .ckpt that holds both.
    """
    weights = read_weights(path, part, strict=False)
    if weights.config_file is None and zoo_config is None:
        raise UserError(
            f"{weights.source} has no config.json beside it; run python -m src.tools.convert with "
            "--config_file first"
        )
    config = BertConfig.from_json(weights.config_file) if weights.config_file else zoo_config
    config, note = infer_labels(config, weights.arrays)
    if note:
        log(f"{weights.source}: {note}")
    arrays, left_out = drop_unused_pooler(config, weights.arrays)
    _say_set_aside([*weights.set_aside, *left_out], weights.source, log)
    return ModelFiles(config, arrays, weights.source)


def _say_set_aside(names, source, log):
    if names:
        log(f"{source}: set aside {join_names(sorted(names), SHOWN)}")


def classifier_from(files, task, device, log, fresh_head=False, **changes):
    """A BertClassifier with the weights of `files`, its outputs in the order of the task's labels.

    The head's rows are matched with the labels by name. Where the head is absent or another task's, it is
    new if `fresh_head`, which is said aloud. With `quantization` among the `changes` of the config, ranges
    of inputs that the files do not have begin at zero, which is not set yet; else those of a quantized model
    have to be there. Returns (network, config). Raises UserError when a weight has no partner or the head
    does not fit.
    """
    config = files.config.for_task(task).replace(
        dtype=device.dtype, compute_type=device.compute_type, **changes
    )
    order = label_order(files, task, log)
    arrays, left_out = drop_unused_pooler(config, drop_projection(files.arrays))
    _say_set_aside(left_out, files.source, log)
    if not config.by_token:
        _check_pooler(arrays, files.source)
    if order is None and not fresh_head:
        raise UserError(
            f"{files.source} has no head for {task.name} ({', '.join(task.labels) or 'a score'}) but "
            f"{_outputs(files.config)}; fine-tune it on the task first with run_finetune.py"
        )
    if order is None:
        arrays = {name: array for name, array in arrays.items() if not name.startswith(HEAD)}
        log(f"{files.source}: the head is new{_old_head(files, task)}")
    else:
        head = [name for name in arrays if name.startswith(HEAD) and not is_range(name)]
        arrays.update({name: arrays[name][list(order)] for name in head})
    network = BertClassifier(config, layers_for(config, device))
    if "quantization" in changes:
        arrays = align_ranges(arrays, network)
    load_strict(network, arrays, files.source, optional=(HEAD,) if order is None else ())
    if "quantization" not in changes:
        check_ranges(network, files.source)
    return network, config


def _check_pooler(arrays, source):
    # Without an encoder the names are wrong altogether, which strict loading explains.
    parts = {name.split(".")[1] for name in arrays if name.startswith("bert.")}
    if "encoder" in parts and "pooler" not in parts:
        raise UserError(
            f"{source} has no pooler, from which a whole text is answered: it is a model of single tokens "
            "(tags, masked words); give one with bert.pooler.dense.weight"
        )


def _old_head(files, task):
    if f"{HEAD}weight" not in files.arrays:
        return ""
    wanted = ", ".join(task.labels) or "a score"
    return f", for {wanted}; the one it had was for {_outputs(files.config)}"


def _outputs(config):
    if config.output_mode == "regression":
        return "a score"
    return ", ".join(config.labels) or f"{config.num_labels} outputs"


def without_head(files, log):
    """`files` without their classifier, where they have one, so that a network gets a new one; said aloud."""
    if f"{HEAD}weight" not in files.arrays:
        return files
    log(f"{files.source}: its head, for {_outputs(files.config)}, is left out (--new_head)")
    arrays = {name: array for name, array in files.arrays.items() if not name.startswith(HEAD)}
    return dataclasses.replace(files, arrays=arrays)


def body_from(files, device, log):
    """(BertEncoder with the weights of `files`, its config); a head is left out, and that is said aloud."""
    config = files.config.replace(
        labels=(), output_mode="classification", dtype=device.dtype, compute_type=device.compute_type
    )
    arrays = {
        name: array for name, array in drop_projection(files.arrays).items() if not name.startswith(HEAD)
    }
    if f"{HEAD}weight" in files.arrays:
        log(f"{files.source}: its head is not used")
    network = BertEncoder(config, layers_for(config, device))
    load_strict(network, arrays, files.source)
    check_ranges(network, files.source)
    return network, config


def dropout_rates(model_config, values):
    """The dropout rates of a model on disk, changed by the flags that give one."""
    config = with_rates(model_config, values)
    return {name: getattr(config, name) for name in RATES}


def label_order(files, task, log):
    """For each label of the task the model's output of that name; None where the model has no such head.

    LABEL_0, LABEL_1 ... mean the task's labels by position, which is said aloud.
    """
    return match_labels(files.config, task, files.source, log) if f"{HEAD}weight" in files.arrays else None


def match_labels(config, task, source, log):
    """`label_order` of a head that the BertConfig of the file `source` describes."""
    labels, outputs = config.labels, max(len(task.labels), 1)
    if config.output_mode != task.output_mode:
        return None
    if tuple(labels) == tuple(task.labels):
        return tuple(range(outputs))
    if len(labels) == outputs and all(str(name).upper() == f"LABEL_{i}" for i, name in enumerate(labels)):
        named = ", ".join(f"{name} = {label}" for name, label in zip(labels, task.labels, strict=True))
        log(f"{source}: labels by position: {named}")
        return tuple(range(outputs))
    if sorted(labels) != sorted(task.labels):
        return None
    return tuple(list(labels).index(label) for label in task.labels)
