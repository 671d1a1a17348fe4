"""The PyTorch side of the comparison, a subject for processes.Peer: steps of TinyBERT's two phases."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import BertConfig

from benchmarks.sst2_lengths import MAX_SEQ_LENGTH, full_dataset, slice_of
from benchmarks.subjects.pytorch_tinybert import TinyBert, Trainer, load_bert
from src.config.bert_config import preset

SORTED = "sorted"


class PyTorch:
    """Both phases, with a teacher directory and a student preset. `options`:

    precision       fp32, autocast (bfloat16 where PyTorch considers it safe), medium (oneDNN rounds inputs)
    sort_by_length  batch rows of similar length and pad each batch to its longest row, not to MAX_SEQ_LENGTH
    compiled        use torch.compile
    fused           use the fused optimizer
    """

    def __init__(
        self,
        teacher: str,
        student: str,
        data_dir: str,
        rows: int,
        batch_size: int,
        dropout: float,
        **options: Any,
    ) -> None:
        self.sort_by_length, self.batch_size = options["sort_by_length"], batch_size
        if options["precision"] == "medium":
            torch.set_float32_matmul_precision("medium")
        torch.manual_seed(1)
        rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        sizes = preset(student).to_json_dict()
        student_model = load_bert(BertConfig.from_dict(sizes), **rates)
        network = TinyBert(load_bert(teacher), student_model, self._layer_map(teacher, sizes))
        if options["compiled"]:
            for name in ("teacher", "student"):
                model = torch.compile(getattr(network, name), dynamic=self.sort_by_length)
                setattr(network, name, model)
        fused = {"fused": True} if options["fused"] else {}
        phases: dict[str, Callable[..., Any]] = {"phase1": network.intermediate, "phase2": network.prediction}
        if options["precision"] == "autocast":
            phases = {name: torch.autocast("cpu", torch.bfloat16)(losses) for name, losses in phases.items()}
        self.trainers = {name: Trainer(network, losses, **fused) for name, losses in phases.items()}
        full = full_dataset(data_dir)
        self.dataset = full if self.sort_by_length else slice_of(full, rows)
        self.length_name = SORTED if self.sort_by_length else str(MAX_SEQ_LENGTH)
        self.counts = {self.length_name: -(-full.rows // batch_size)}
        self.runs = 0

    def prepare(self, phases: Sequence[int], warm_up: int) -> dict[str, Any]:
        """Run `warm_up` steps of each phase; returns the number of batches in an epoch over all of SST-2."""
        began = time.perf_counter()
        for phase in phases:
            self.run(f"phase{phase}", warm_up)
        description = f"{time.perf_counter() - began:.0f} s of warm-up"
        return {"counts": self.counts, "compile": {}, "description": description}

    def run(self, task: str, steps: int) -> dict[str, Any]:
        """Time `steps` steps of phase1 or phase2, spread evenly over the lengths of an epoch."""
        seconds = []
        for batch in self._batches(steps):
            began = time.perf_counter()
            self.trainers[task].step(tuple(map(torch.from_numpy, batch)))
            seconds.append([self.length_name, time.perf_counter() - began])
        return {"steps": seconds, "rest": 0.0}

    def _batches(self, steps: int) -> list[list[np.ndarray]]:
        self.runs += 1
        rows, size = self.dataset.rows, self.batch_size
        if not self.sort_by_length:
            rng = np.random.default_rng(self.runs)
            return [self._columns(group, MAX_SEQ_LENGTH) for group in rng.choice(rows, (steps, size))]
        order, batches = np.argsort(self.dataset.lengths, kind="stable"), rows // size
        offset = (0.5, 0.25, 0.75)[self.runs % 3]
        groups = [order[size * int((n + offset) * batches / steps) :][:size] for n in range(steps)]
        return [self._columns(group, self.dataset.lengths[group].max()) for group in groups]

    def _columns(self, rows: np.ndarray, length: int) -> list[np.ndarray]:
        return [column.astype(np.int64) for column in self.dataset.padded(rows, length)]

    @staticmethod
    def _layer_map(teacher: str, sizes: Mapping[str, Any]) -> list[int]:
        layers = BertConfig.from_pretrained(teacher).num_hidden_layers
        return [layers // sizes["num_hidden_layers"] * (m + 1) for m in range(sizes["num_hidden_layers"])]
