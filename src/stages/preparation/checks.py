"""Warnings about prepared records, each with what to do: `prepare` prints them, and stages that read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...data.dataset import TokenizedDataset
from ...errors import join_names
from ...tasks import IGNORE_INDEX, TaskSpec

MIN_ROWS = 10  # of a class in dev
CUT_SHARE = 0.05  # of the rows
UNK_SHARE = 0.02  # of the tokens
KNOWN_SHARE = 0.02  # of the dev rows; CoLA has 1.5 %
SHOWN = 20  # labels


def row_keys(dataset: TokenizedDataset) -> list[bytes]:
    """The token ids of each row as bytes: equal for texts that a model reads as the same."""
    tokens = dataset.tokens.astype(np.int32)
    return [row.tobytes() for row in dataset.by_row(tokens)]


def record_warnings(split: str, entry: Mapping[str, Any]) -> list[str]:
    """Warnings about a split from its entry in a manifest: rows cut, [UNK], dev rows that are in train."""
    found, rows = [], max(entry.get("rows", 0), 1)
    if entry.get("truncated", 0) > CUT_SHARE * rows:
        found.append(
            f"{entry['truncated'] / rows:.0%} of the rows of {split} are cut: prepare them with a larger "
            "--max_seq_length"
        )
    if entry.get("unk_share", 0.0) > UNK_SHARE:
        found.append(
            f"{entry['unk_share']:.1%} of the tokens of {split} are [UNK]: check that --vocab_file is of "
            "their language and casing"
        )
    if entry.get("rows_in_train", 0) > KNOWN_SHARE * rows:
        found.append(
            f"{entry['rows_in_train']:,} of the {rows:,} rows of {split} are also rows of train, so that its "
            "metrics are too high: remove them from train"
        )
    return found


def label_warnings(task: TaskSpec, split: str, dataset: TokenizedDataset) -> list[str]:
    """A warning for classes with few rows in `split` (tokens of each tag, rows of each of several labels)."""
    labels = dataset.labels
    if labels is None or not task.labels:
        return []
    if task.output_mode == "multi_label":
        counts = labels.sum(axis=0).astype(int)
    else:
        counts = np.bincount(labels[labels != IGNORE_INDEX], minlength=len(task.labels))
    few = [f"{name} ({n})" for name, n in zip(task.labels, counts, strict=True) if n < MIN_ROWS]
    if not few:
        return []
    unit = "tokens" if dataset.labels_by_token else "rows"
    return [
        f"{split} has fewer than {MIN_ROWS} {unit} of {join_names(few, SHOWN)}: its metrics say little about "
        f"them; add {split} rows"
    ]
