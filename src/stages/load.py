"""Model folders -> networks: weights under strict names, labels by name."""

import dataclasses
from pathlib import Path

from src.config.bert_config import BertConfig
from src.config.student_config import RATES, with_rates
from src.errors import UserError
from src.infer.huggingface import fit_head, tokenizer_files, without_extras
from src.infer.weight_files import read_weights
from src.model.bert import BertBody, BertClassifier
from src.model.loading import load_strict

HEAD = "classifier."


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


def read_model(path, say, zoo_config=None, part=None):
    """Read a model folder or weight file; `zoo_config` describes a .ckpt without config.json.

    `part` is "student" or "teacher", for a .ckpt that holds both.
    """
    weights = read_weights(path, part if Path(path).suffix == ".ckpt" else None)
    if weights.config_file is None and zoo_config is None:
        raise UserError(
            f"{weights.source} has no config.json beside it; run python -m src.tools.convert with "
            "--config_file first"
        )
    config = BertConfig.from_json(weights.config_file) if weights.config_file else zoo_config
    config, note = fit_head(config, weights.arrays)
    said = f"{weights.source}: {note}" if note else ""
    if weights.set_aside:
        said += f"{weights.source}: set aside {', '.join(sorted(weights.set_aside)[:6])}" + (
            f" and {len(weights.set_aside) - 6} more" if len(weights.set_aside) > 6 else ""
        )
    if said:
        say(said)
    return ModelFiles(config, weights.arrays, weights.source)


def classifier_from(files, task_labels, task, device, say, fresh_head=False, **changes):
    """A BertClassifier with the weights of `files`; a head of other labels is new, which is said aloud.

    Returns (network, config). Raises UserError when a weight has no partner, or when the head is missing or
    of other labels and `fresh_head` is False.
    """
    config = files.config.replace(
        labels=task_labels,
        output_mode=task.output_mode,
        dtype=device.dtype,
        compute_type=device.compute_type,
        **changes,
    )
    same_head = (
        files.config.num_labels == config.num_labels
        and files.config.output_mode == config.output_mode
        and f"{HEAD}weight" in files.arrays
    )
    if not same_head and not fresh_head:
        raise UserError(
            f"{files.source} has no head for {task.name} ({config.num_labels} outputs); fine-tune it first "
            "with run_finetune.py"
        )
    arrays = without_extras(files.arrays)
    if not same_head:
        arrays = {name: array for name, array in arrays.items() if not name.startswith(HEAD)}
    network = BertClassifier(config)
    new = load_strict(network, arrays, files.source, fresh=(HEAD,) if fresh_head else ())
    if new:
        say(f"{files.source}: the head is new ({', '.join(new)})")
    return network, config


def body_from(files, device, say):
    """(BertBody with the weights of `files`, its config); a head is left out, and that is said aloud."""
    config = files.config.replace(
        labels=(), output_mode="classification", dtype=device.dtype, compute_type=device.compute_type
    )
    arrays = {
        name: array for name, array in without_extras(files.arrays).items() if not name.startswith(HEAD)
    }
    if f"{HEAD}weight" in files.arrays:
        say(f"{files.source}: its head is not used")
    network = BertBody(config)
    load_strict(network, arrays, files.source)
    return network, config


def dropout_rates(model_config, values):
    """The dropout rates of a model on disk, changed by the flags that give one."""
    config = with_rates(model_config, values)
    return {name: getattr(config, name) for name in RATES}


def label_order(model_labels, task, source, say):
    """For each label of the task the model's output of that name; LABEL_0 .. or none means by position.

    Raises UserError when the names do not match.
    """
    if task.output_mode == "regression" or tuple(model_labels) == tuple(task.labels):
        return tuple(range(max(len(task.labels), 1)))
    generic = all(str(name).upper() == f"LABEL_{i}" for i, name in enumerate(model_labels))
    if len(model_labels) != len(task.labels) or not (generic or set(model_labels) == set(task.labels)):
        raise UserError(
            f"{source} has the labels {', '.join(map(str, model_labels))}; {task.name} has "
            f"{', '.join(task.labels)}"
        )
    if generic:
        say(
            f"{source}: labels by position: "
            + ", ".join(f"{name} = {label}" for name, label in zip(model_labels, task.labels, strict=True))
        )
        return tuple(range(len(task.labels)))
    return tuple(list(model_labels).index(label) for label in task.labels)
