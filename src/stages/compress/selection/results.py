"""The ReportData of a run from the outputs of its candidates."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from ....config.bert_config import BertConfig
from ....machine import describe_machine
from ....metrics import AGREEMENT, best_of
from ....train.curves.loss_plot import LOG_FILE, panels_of, read_log
from ....weights.huggingface import weight_count
from ...evaluation.bootstrap import Logits
from ...evaluation.evaluator import dataset_metrics
from .. import predictions, report_data, statistics
from ..planning.ladder import Candidate
from ..report_data import CandidateResult, ChangedRow, Limits, ModelFacts, TaskFacts
from ..steps.journal import Journal
from ..steps.rows import Rows, texts_of
from ..steps.workspace import MODEL
from .limits import within
from .outputs import HalfLogits

if TYPE_CHECKING:
    from ....tools.compress import CompressConfig

DEFAULT_AGREEMENT = 0.97  # without labels
LATENCIES = "latencies"  # in the journal


@dataclasses.dataclass(frozen=True)
class Tried:
    """A candidate that was made, with its logits, or why it failed."""

    candidate: Candidate
    folder: Path
    logits: HalfLogits | None = None
    failed: str | None = None


def limits_of(config: CompressConfig, budget: float, labeled: bool) -> Limits:
    """The Limits of the flags. Without labels a drop cannot be measured: the agreement is limited."""
    agreement = config.min_agreement or (None if labeled else DEFAULT_AGREEMENT)
    return Limits(
        config.max_drop if labeled else None,
        config.max_latency_ms or None,
        config.max_size_mb or None,
        agreement,
        round(budget / 60, 2),
        config.prefer,
        config.strict,
        config.threads,
    )


class Results:
    """Compares candidates with the given model, over the rows of a run."""

    def __init__(self, config: CompressConfig, rows: Rows, limits: Limits, journal: Journal) -> None:
        self.config, self.rows, self.limits, self.journal = config, rows, limits, journal
        self.baseline: Tried | None = None
        self._comparisons: dict[str, statistics.Comparison] = {}

    @property
    def limit_points(self) -> float | None:
        """Points of the metric that may be lost; without labels those of the agreement."""
        if self.rows.labeled:
            return self.limits.max_drop
        return None if self.limits.min_agreement is None else 100 * (1 - self.limits.min_agreement)

    def metric(self, tried: Tried, half: str = "choose") -> float:
        """The metric of a candidate over a half; without labels its agreement with the given model."""
        assert tried.logits is not None and self.baseline and self.baseline.logits
        task, dataset = self.rows.task, self.rows.datasets[half]
        if not self.rows.labeled:
            before, after = (dataset.by_row(each[half]) for each in (self.baseline.logits, tried.logits))
            return 1.0 - float(predictions.changed_rows(task, before, after).mean())
        return best_of(task, dataset_metrics(task, dataset, tried.logits[half]))

    def candidate(self, tried: Tried) -> CandidateResult:
        """All figures of a candidate."""
        entry, journal = tried.candidate, self.journal
        config = entry.base.config
        if not tried.failed:
            config = BertConfig.from_json(tried.folder / "config.json")
        result = CandidateResult(
            entry.name,
            entry.how,
            entry.precision,
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.vocab_size,
            minutes_planned=round(entry.seconds / 60, 3),
            minutes_taken=round(sum(journal.seconds_of(step.name) for step in entry.steps) / 60, 3),
            failed=tried.failed,
            folder=str(tried.folder),
            losses=self._losses(entry),
        )
        return result if tried.failed else self._compared(result, tried)

    def _compared(self, result: CandidateResult, tried: Tried) -> CandidateResult:
        assert self.baseline and self.baseline.logits and tried.logits
        half, name = self.rows.datasets["report"], tried.candidate.name
        if name not in self._comparisons:  # its bootstraps take seconds
            before, after = (half.by_row(each["report"]) for each in (self.baseline.logits, tried.logits))
            self._comparisons[name] = statistics.compare(
                self.rows.task, before, after, self._labels("report"), self.config.seed
            )
        found = self._comparisons[name]
        chosen = self.metric(tried)
        size = (tried.folder / MODEL).stat().st_size / 1e6
        first = (self.baseline.folder / MODEL).stat().st_size / 1e6
        latency, ratio = (self.journal.get(LATENCIES) or {}).get(result.name, (None, None))
        result = dataclasses.replace(
            result,
            **vars(found),
            choose_metric=chosen,
            choose_difference=chosen - self.metric(self.baseline),
            latency_ms=latency,
            latency_ratio=ratio,
            size_mb=size,
            size_ratio=first / size,
        )
        is_model = tried.candidate.name == self.baseline.candidate.name
        if is_model:  # its own predictions are the same on any rows
            result.agreement_interval = [1.0, 1.0]
            if found.difference is None:
                result.interval = [1.0, 1.0]
            else:
                result.difference_interval = [0.0, 0.0]
        return dataclasses.replace(result, within=within(result, self.limits))

    def _labels(self, half: str) -> Logits | None:
        dataset = self.rows.datasets[half]
        if not self.rows.labeled or dataset.labels is None:
            return None
        return dataset.by_row(dataset.labels)

    def _losses(self, entry: Candidate) -> dict[str, list[float | None]]:
        losses: dict[str, list[float | None]] = {}
        for step in entry.steps:
            file = step.run_folder / LOG_FILE if step.run_folder else None
            if file and file.is_file():
                panels = panels_of({"": read_log(file)})
                losses |= {title: [each["loss"] for each in entries] for title, entries in panels.items()}
        return losses

    def changed(self, tried: Tried) -> list[ChangedRow]:
        """The ten texts whose prediction changed with the highest confidence."""
        assert self.baseline and self.baseline.logits and tried.logits
        dataset, task = self.rows.datasets["report"], self.rows.task
        before, after = (dataset.by_row(each["report"]) for each in (self.baseline.logits, tried.logits))
        texts = texts_of(dataset, self.config.model_dir)
        return predictions.changed_examples(task, before, after, self._labels("report"), texts)

    def model_facts(self, source: Path, config: BertConfig, first: CandidateResult | None) -> ModelFacts:
        """The given model, its figures those of its float32 file."""
        facts = ModelFacts(
            self.config.model_dir,
            source.name,
            config.num_hidden_layers,
            config.hidden_size,
            config.intermediate_size,
            config.vocab_size,
            weight_count(config),
        )
        if first is None:
            return facts
        measured = ("metric", "interval", "latency_ms", "size_mb")
        return dataclasses.replace(facts, **{name: getattr(first, name) for name in measured})

    def task_facts(self) -> TaskFacts:
        """The task and the numbers of rows."""
        datasets, task = self.rows.datasets, self.rows.task
        train = datasets["train"]
        counts = report_data.Rows(
            train.rows,
            int((~train.labeled).sum()),
            datasets["choose"].rows,
            datasets["report"].rows,
        )
        metric = task.best_metric if self.rows.labeled else AGREEMENT
        return TaskFacts(task.name, metric, task.output_mode, list(task.labels), counts)


def machine_facts(threads: int) -> dict[str, str]:
    """The machine, without what is private to it."""
    facts = describe_machine()
    kept = ("platform", "packages", "processor", "cores", "instructions", "memory")
    return {**{name: facts[name] for name in kept}, "ONNX Runtime threads": str(threads)}
