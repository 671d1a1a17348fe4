"""Seconds, disk and memory of the steps of a plan on this machine, from its Measurement."""

from __future__ import annotations

import dataclasses

import numpy as np

from ....config.bert_config import BertConfig
from ....config.distill_config import TeacherConfig
from ....config.train_config import TrainConfig
from ....data import splits
from ....data.dataset import TokenizedDataset
from ....distill.teacher_cache import Layout
from ....train.throughput import GIGA, forward_flops
from ....weights.huggingface import expected_shapes, quantizable_layers, weight_count
from ..steps.rows import Rows
from .ladder import BATCH, CALIBRATION_ROWS, COMPARE_ROWS, Q8_EPOCHS, Candidate, Schedule
from .measure import Measurement

# Compilation of a teacher's or an evaluation's graph relative to that of a training step.
FORWARD_COMPILE = 0.4
FLOAT_BYTES = 4
# Copies of a student's weights while it is trained: best/, last/, and a checkpoint with Adam's two moments.
COPIES = 5
SENSITIVITY_ROWS = 128
DOUBLE = 2  # times as long in float64
QUICK = 3.0  # seconds of a step that runs no model


class Costs:
    """Costs of the steps for one model, its rows and a schedule of its students."""

    def __init__(self, measured: Measurement, teacher: BertConfig, rows: Rows, schedule: Schedule) -> None:
        self.measured, self.teacher, self.rows, self.schedule = measured, teacher, rows, schedule
        self.share = schedule.rows / rows.datasets["train"].rows  # of the training rows

    def timed(self, candidate: Candidate) -> Candidate:
        """The candidate with the seconds of its steps."""
        seconds = {
            "export": self.export,
            "task_distill": self.distill,
            "q8bert_train": self.q8bert,
            "prune": lambda entry: QUICK,
        }
        steps = (
            dataclasses.replace(step, seconds=seconds[step.command](candidate)) for step in candidate.steps
        )
        return dataclasses.replace(candidate, steps=tuple(steps))

    def export(self, candidate: Candidate) -> float:
        """Of an export with its verification: that of the given model in float32, as far as it is smaller,
        and the metric; of integers twice as many graphs and passes, and the calibration; where a limit has to
        be held also one forward pass for each layer."""
        config = candidate.base.config
        smaller = self._forward(config, 1) / self._forward(self.teacher, 1)
        files = 2 if candidate.precision == "int8" else 1
        seconds = files * self.measured.export_seconds * (0.4 + 0.6 * smaller)
        seconds += self._forward(config, files * (self.rows.datasets["choose"].rows + 2 * COMPARE_ROWS))
        if candidate.precision == "int8":
            seconds += self.calibration(config)
        if candidate.name.endswith("-mixed"):
            layers = len(quantizable_layers(config))
            seconds += layers * (0.5 + self._forward(config, SENSITIVITY_ROWS))
        return seconds

    def calibration(self, config: BertConfig) -> float:
        """Three forward passes over the calibration rows, and GPTQ of each weight [O, I]: the products of its
        inputs, their inverse and its Cholesky factor (3 I^3 in float64), and the updates of later columns."""
        shapes = expected_shapes(config.replace(quantization=None))
        layers = [shapes[f"{name}.weight"] for name in quantizable_layers(config) if "embeddings" not in name]
        tokens = CALIBRATION_ROWS * self._mean_length()
        gptq = sum(2 * tokens * i**2 + DOUBLE * (6 * i**3 + 2 * o * i**2) for o, i in layers)
        return self._forward(config, 3 * CALIBRATION_ROWS) + gptq / self.measured.flops_per_second

    def _mean_length(self) -> int:
        return max(1, round(float(self.rows.datasets["train"].lengths.mean())))

    def _forward(self, config: BertConfig, count: float) -> float:
        return count * forward_flops(config, self._mean_length()) / self.measured.flops_per_second

    def distill(self, candidate: Candidate) -> float:
        """Of task distillation: three passes a row for the student, one for the teacher, which runs in one
        epoch where its outputs are cached. Phase 2 needs the logits alone."""
        config, (first, second, _) = candidate.base.config, self.schedule
        lengths, graphs = padded(self.rows.datasets["train"], max(first, second))
        layers, logits = (
            [self.share * flops(shape, lengths, logits_only) for shape in (config, self.teacher)]
            for logits_only in (False, True)
        )
        passes = 3 * (first * layers[0] + second * logits[0])
        passes += layers[1] if self.is_cached(config) else first * layers[1] + second * logits[1]
        chosen, _ = padded(self.rows.datasets["choose"], 1)
        passes += second * flops(config, chosen, True) + flops(self.teacher, chosen, True)
        return self._training(graphs * (2 + FORWARD_COMPILE) + 2 * FORWARD_COMPILE, passes)

    def q8bert(self, candidate: Candidate) -> float:
        """Of quantization-aware training with the teacher's logits, as long as in float."""
        lengths, graphs = padded(self.rows.datasets["train"], Q8_EPOCHS)
        passes = 3 * Q8_EPOCHS * flops(candidate.base.config, lengths, True)
        passes = self.share * (passes + flops(self.teacher, lengths, True))
        return self._training(graphs * (1 + FORWARD_COMPILE) + 2 * FORWARD_COMPILE, passes)

    def _training(self, graphs: float, passes: float) -> float:
        measured = self.measured
        return (
            measured.startup_seconds + graphs * measured.compile_seconds + passes / measured.flops_per_second
        )

    def is_cached(self, config: BertConfig) -> bool:
        """Whether a distillation caches all teacher outputs (--teacher_cache auto)."""
        return self.cache_gb(config) < min(TeacherConfig.teacher_cache_limit_gb, self.measured.free_gb / 4)

    def cache_gb(self, config: BertConfig) -> float:
        """Size of the teacher outputs that phase 1 of a student caches."""
        layers, teacher = config.num_hidden_layers, self.teacher
        layout = Layout(layers + 1, teacher.hidden_size, layers, teacher.num_attention_heads, 1)
        return self.share * float(layout.sizes(self.rows.datasets["train"].lengths).sum()) / GIGA

    def disk_gb(self, candidate: Candidate) -> float:
        """Disk space that a candidate needs while it is made."""
        config = candidate.base.config
        weights = FLOAT_BYTES * weight_count(config) / GIGA
        size = weights * (1 if candidate.precision == "float32" else 0.3)
        if any(step.run_folder for step in candidate.steps):
            size += COPIES * weights + (self.cache_gb(config) if self.is_cached(config) else 0.0)
        return size


def padded(dataset: TokenizedDataset, epochs: int) -> tuple[np.ndarray, int]:
    """(padded length of each row, number of lengths) as the training stages pad them."""
    loader = splits.make_loader(dataset, TrainConfig(), BATCH, True, max(epochs, 1))
    buckets = np.asarray(loader.buckets)
    return buckets[np.searchsorted(buckets, dataset.lengths)], len(buckets)


def flops(config: BertConfig, lengths: np.ndarray, logits_only: bool = False) -> float:
    """FLOPs of one forward pass over rows of padded lengths, see `forward_flops`."""
    values, counts = np.unique(lengths, return_counts=True)
    per_row = [forward_flops(config, int(length), logits_only=logits_only) for length in values]
    return float(counts @ per_row)
