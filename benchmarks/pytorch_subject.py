"""PyTorch's side of the comparison, a process's subject (processes.Peer): TinyBERT's phases, step by step."""

import time

import numpy as np
import torch
from transformers import BertConfig

from benchmarks.pytorch_tinybert import TinyBert, Trainer, load_bert
from benchmarks.sst2_lengths import MAX_SEQ_LENGTH, slice_of, whole_table
from src.config.bert_config import preset

SORTED = "sorted"


class PyTorch:
    """Both phases with the teacher in a folder and a student preset. `easy` has

    products   fp32, autocast (bfloat16 where PyTorch thinks it safe), medium (oneDNN rounds its inputs)
    by_length  batches of rows of about one length, padded to their own longest; else all to MAX_SEQ_LENGTH
    compiled   by torch.compile
    fused      the optimizer's fused form
    """

    def __init__(self, teacher, student, data_dir, rows, batch_size, dropout, **easy):
        self.easy, self.batch_size = easy, batch_size
        if easy["products"] == "medium":
            torch.set_float32_matmul_precision("medium")
        torch.manual_seed(1)
        rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
        sizes = preset(student).to_json_dict()
        pupil = load_bert(BertConfig.from_dict(sizes), **rates)
        network = TinyBert(load_bert(teacher), pupil, self._map(teacher, sizes))
        if easy["compiled"]:
            network.teacher, network.student = (
                torch.compile(part, dynamic=easy["by_length"]) for part in (network.teacher, network.student)
            )
        fused = {"fused": True} if easy["fused"] else {}
        phases = {"phase1": network.intermediate, "phase2": network.prediction}
        if easy["products"] == "autocast":
            phases = {name: torch.autocast("cpu", torch.bfloat16)(losses) for name, losses in phases.items()}
        self.trainers = {name: Trainer(network, losses, **fused) for name, losses in phases.items()}
        whole = whole_table(data_dir)
        self.table = whole if easy["by_length"] else slice_of(whole, rows)
        self.counts = {self._title: -(-whole.rows // batch_size)}
        self.turn = 0

    def prepare(self, phases, warm_up):
        """Warm up `phases` by so many steps; answers the batches of an epoch over all of SST-2."""
        began = time.perf_counter()
        for phase in phases:
            self.run(f"phase{phase}", warm_up)
        described = f"{time.perf_counter() - began:.0f} s to warm up"
        return {"counts": self.counts, "compile": {}, "described": described}

    def run(self, task, steps):
        """Time `steps` steps of phase1 or phase2, evenly over the lengths of an epoch."""
        spans = []
        for batch in self._batches(steps):
            began = time.perf_counter()
            self.trainers[task].step(tuple(map(torch.from_numpy, batch)))
            spans.append([self._title, time.perf_counter() - began])
        return {"steps": spans, "rest": 0.0}

    @property
    def _title(self):
        return SORTED if self.easy["by_length"] else str(MAX_SEQ_LENGTH)

    def _batches(self, steps):
        self.turn += 1
        rows, size = self.table.rows, self.batch_size
        if not self.easy["by_length"]:
            draw = np.random.default_rng(self.turn)
            groups = draw.choice(rows, (steps, size))
            return [self._columns(group, MAX_SEQ_LENGTH) for group in groups]
        order, batches = np.argsort(self.table.lengths, kind="stable"), rows // size
        offset = (0.5, 0.25, 0.75)[self.turn % 3]
        groups = [order[size * int((n + offset) * batches / steps) :][:size] for n in range(steps)]
        return [self._columns(group, self.table.lengths[group].max()) for group in groups]

    def _columns(self, rows, length):
        return [column.astype(np.int64) for column in self.table.padded(rows, length)]

    @staticmethod
    def _map(teacher, sizes):
        layers = BertConfig.from_pretrained(teacher).num_hidden_layers
        return [layers // sizes["num_hidden_layers"] * (m + 1) for m in range(sizes["num_hidden_layers"])]
