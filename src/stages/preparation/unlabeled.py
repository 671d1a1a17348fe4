"""Texts without labels among the rows of a task: labels from a model, the summary, the manifest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.bert_config import BertConfig
from ...config.task.custom import CustomTask
from ...data.text.examples import TextFile
from ...data.unlabeled import DUPLICATES, UnlabeledTexts, add_unlabeled, read_unlabeled
from ...errors import UserError
from ...tasks import TaskSpec

if TYPE_CHECKING:
    from ...tools.prepare import PrepareConfig


@dataclasses.dataclass(frozen=True)
class AddedTexts:
    """The rows {split: TextFile} of a task with its unlabeled texts, and what prepare says about them."""

    texts: dict[str, TextFile]
    manifest_entries: dict[str, Any]
    summary_lines: list[str]


def add_texts(
    config: PrepareConfig, task: TaskSpec, texts: Mapping[str, TextFile], dev_splits: Sequence[str]
) -> AddedTexts:
    """Add the texts of `config.unlabelled_file` to the rows `texts` {split: TextFile} of a task."""
    found = read_unlabeled(config.unlabelled_file, task, texts, config.on_bad_row, config.max_rows)
    together = add_unlabeled(texts, found, dev_splits, config.dev_share, config.split_seed)
    entry = {
        "files": [path.name for path in found.paths],
        "read": found.read,
        "dropped": found.dropped,
        "bad_rows": found.bad_rows,
    }
    return AddedTexts(together, {"unlabelled": entry}, _lines(config, found, texts, together))


def _lines(
    config: PrepareConfig,
    found: UnlabeledTexts,
    before: Mapping[str, TextFile],
    texts: Mapping[str, TextFile],
) -> list[str]:
    labeled = len(before["train"].examples) if "train" in before else 0
    dropped = [
        f"{count:,} {'repeated' if name == DUPLICATES else f'found in {name}'}"
        for name, count in found.dropped.items()
    ]
    lines = [
        f"train: {labeled:,} rows with a label, {len(texts['train'].examples) - labeled:,} without one, of "
        f"{found.read:,} texts in {', '.join(path.name for path in found.paths)}; dropped: "
        f"{', '.join(dropped) or 'none'}"
    ]
    if found.bad_rows:
        first = found.bad_rows[0]
        lines.append(
            f"{len(found.bad_rows):,} malformed texts are skipped, the first in {first['file']}, line "
            f"{first['line']}: {first['reason']}"
        )
    for split in texts:
        if split != "train" and split not in before:
            lines.append(
                f"{split}: {len(texts[split].examples):,} of these texts were split off (dev_share "
                f"{config.dev_share:g}, split_seed {config.split_seed}, random); without labels, a model is "
                "measured on them by its agreement with the teacher"
            )
    return lines


def labels_from_model(custom: CustomTask, vocab_file: str) -> CustomTask:
    """A CustomTask without labeled rows and labels, with the labels and output mode of a classifier.

    The classifier is that of the model folder `vocab_file`. Raises UserError where there is none.
    """
    file = Path(vocab_file) / "config.json"
    config = BertConfig.from_json(file) if file.is_file() else None
    if config is None or not config.num_labels or config.by_token:
        what = "is no model folder" if config is None else "has no classifier of texts"
        raise UserError(
            f"the labels are unknown, since no row has one and {vocab_file} {what}: give --labels (or "
            "--output_mode regression), or the folder of your classifier as --vocab_file"
        )
    return dataclasses.replace(
        custom,
        labels=config.labels,
        output_mode=config.output_mode,
        label_separator=config.label_separator,
    )
