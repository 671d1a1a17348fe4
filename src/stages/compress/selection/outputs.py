"""What a candidate's file predicts for both halves of dev, and how long it takes for one text."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ....config.data_config import ModelConfig
from ....data.dataset import TokenizedDataset
from ....files import atomic_path
from ....infer.latency import interleaved_latencies_ms
from ....infer.logits import collect_logits
from ....tasks import TaskSpec
from ...model.inference import InferenceModel, load_for_inference
from ..steps.workspace import HALVES

BATCH = 32
LENGTH = 64  # tokens of the text whose latency is measured
ROUNDS = 40

HalfLogits = Mapping[str, np.ndarray]  # {half: logits of its rows, or tokens}


def half_logits(
    folder: Path, task: TaskSpec, datasets: Mapping[str, TokenizedDataset], file: Path | None = None
) -> HalfLogits:
    """Logits of an exported model over both halves, in the order of the task's labels.

    `file` keeps them for a run that resumes this one; what it holds of an older model is replaced.
    """
    digest = (folder / "SHA256SUMS").read_bytes()
    if file and (known := _read(file, digest)):
        return known
    model = load_for_inference(folder, ModelConfig(), task=task)
    found = {half: logits_of(model, datasets[half]) for half in HALVES}
    if file:
        file.parent.mkdir(exist_ok=True)
        with atomic_path(file) as temporary, open(temporary, "wb") as output:
            np.savez(output, digest=np.frombuffer(digest, np.uint8), **cast(Any, found))
    return found


def _read(file: Path, digest: bytes) -> HalfLogits | None:
    if not file.is_file():
        return None
    try:
        with np.load(file) as arrays:
            same = arrays["digest"].tobytes() == digest
            return {half: arrays[half] for half in HALVES} if same else None
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile):
        return None  # damaged: the logits are computed again


def logits_of(model: InferenceModel, dataset: TokenizedDataset) -> np.ndarray:
    """Logits of every row of a dataset, [rows, C] or [T, C]."""
    return collect_logits(model.predict, model.loader(dataset, BATCH))


def latencies(folders: Sequence[Path], threads: int) -> list[tuple[float, float]]:
    """(median ms of one text, times faster than the first) of exported models, called in turn.

    The ratio is the median of those of each round, so that background load affects both sides.
    """
    models = [load_for_inference(folder, ModelConfig(), threads) for folder in folders]
    calls = []
    for model in models:
        length = min(LENGTH, model.config.max_position_embeddings)
        ids = np.random.default_rng(0).integers(5, model.config.vocab_size, (1, length), dtype=np.int64)
        columns = (ids, np.zeros_like(ids), np.ones_like(ids))
        calls.append(lambda model=model, columns=columns: model.predict(*columns))
    times = interleaved_latencies_ms(calls, ROUNDS)
    return [(float(np.median(each)), float(np.median(times[0] / each))) for each in times]
