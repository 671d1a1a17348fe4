"""Matches the outputs of a model with the labels of a task, by name; imports no MindSpore."""

from collections.abc import Callable
from pathlib import Path

from ...config.bert_config import BertConfig
from ...tasks import TaskSpec, label_key

Log = Callable[[str], object]


def match_labels(config: BertConfig, task: TaskSpec, source: Path, log: Log) -> tuple[int, ...] | None:
    """For each label of the task the index of the model's output of that name; None without a fitting head.

    `config` describes the model of the file `source`. Names in another case and GLUE's on the Hugging Face
    hub match too; LABEL_0, LABEL_1 ... are matched with the task's labels by position. Both are logged.
    """
    labels, outputs = config.labels, max(len(task.labels), 1)
    if config.output_mode != task.output_mode:
        return None
    if tuple(labels) == tuple(task.labels):
        return tuple(range(outputs))
    if len(labels) == outputs and all(str(name).upper() == f"LABEL_{i}" for i, name in enumerate(labels)):
        pairs = ", ".join(f"{name} = {label}" for name, label in zip(labels, task.labels, strict=True))
        log(f"{source}: labels by position: {pairs}")
        return tuple(range(outputs))
    if sorted(labels) != sorted(task.labels):
        indices = task.label_indices()
        matched = [indices.get(label_key(label), -1) for label in labels]
        if sorted(matched) != list(range(outputs)):
            return None
        pairs = ", ".join(f"{name} = {task.labels[i]}" for name, i in zip(labels, matched, strict=True))
        log(f"{source}: labels by name: {pairs}")
        return tuple(matched.index(i) for i in range(outputs))
    return tuple(list(labels).index(label) for label in task.labels)
