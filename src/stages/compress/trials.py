"""Makes and measures the candidates of a plan, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...config.cli import Resolved
from ...errors import UserError
from ...json_reader import read_object
from ...metrics import AGREEMENT
from .planning.ladder import Candidate
from .planning.plan import over_budget
from .report_data import CandidateResult, LeftOut
from .selection.outputs import half_logits, latencies
from .selection.results import LATENCIES, Results, Tried
from .selection.verdict import in_short
from .steps.rows import Rows, prepare_step, unknown_words, vocabulary_rows
from .steps.runner import Runner
from .steps.workspace import Workspace

if TYPE_CHECKING:
    from ...tools.compress import CompressConfig


class Trials:
    """The candidates that were tried, in `tried`, the given model first; `left_out` are the others."""

    def __init__(
        self, resolved: Resolved[CompressConfig], workspace: Workspace, runner: Runner, results: Results
    ) -> None:
        self.resolved, self.workspace, self.runner, self.results = resolved, workspace, runner, results
        self.tried: list[Tried] = []
        self.left_out: list[LeftOut] = []
        self._vocabulary_rows: Rows | None = None

    def start(self, baseline: Candidate) -> None:
        """Measure the file of the given model, which is there."""
        self.results.baseline = self._measured(baseline)
        self.tried.append(self.results.baseline)

    def run(self, planned: Candidate, budget: float) -> None:
        """Try a candidate within a budget in seconds, of which the steps of the journal are a part."""
        entry = self._allowed(planned) if planned.breaks else planned
        if entry is None:
            return
        journal = self.runner.journal
        left = max(budget - journal.seconds, 0.0)
        needed = sum(entry.undone(journal).values())
        if (entry.base.steps or entry.breaks) and needed > left:
            self._leave_out(entry, over_budget(needed, left))
        else:
            self._try(entry)

    def _leave_out(self, entry: Candidate, why: str) -> None:
        self.left_out.append(LeftOut(entry.name, why))
        for step in entry.steps:
            self.runner.progress.drop(step.name)

    def _allowed(self, entry: Candidate) -> Candidate | None:
        """A candidate that is tried only where integers break the limit and floats do not: with what is left
        of the limit for its integers, or None."""
        limit, results, rows = self.results.limit_points, self.results, self.results.rows
        if not rows.labeled and rows.task.output_mode == "regression" and "max_drop" in entry.steps[-1].flags:
            return None  # an export measures the correlation of scores, not the share of equal ones
        tried = next((each for each in self.tried if each.candidate.name == entry.breaks), None)
        if tried is None or tried.failed or limit is None:
            return None
        model = results.metric(self.tried[0])
        spent = max(100 * (model - self._float_metric(entry)), 0.0)
        if 100 * (model - results.metric(tried)) <= limit or spent > limit:
            return None
        return entry.with_max_drop(round(limit - spent, 4))

    def _float_metric(self, entry: Candidate) -> float:
        """The metric of a candidate's float model over the choosing rows, as `Results.metric`.

        Without labels a student's is known where it is the share of equal predictions, not of scores: there
        all that is lost counts as its integers'.
        """
        rows = self.results.rows
        if not entry.base.steps or not rows.labeled and rows.task.output_mode == "regression":
            return self.results.metric(self.tried[0])
        metrics = read_object(Path(entry.base.folder) / "metrics.json", {})
        return float(metrics[f"eval_{rows.task.best_metric if rows.labeled else AGREEMENT}"])

    def _try(self, entry: Candidate) -> None:
        failed = None
        for step in entry.steps:
            failed = failed or self._vocabulary(entry, step.command)
            failed = failed or self.runner.run(step)
            if failed:
                self._fail(entry, failed)
                return
        try:
            tried = self._measured(entry)
            self._measure_latencies([self.tried[0], tried])
        except UserError as error:
            self._fail(entry, str(error))
            return
        self.tried.append(tried)
        result = self.results.candidate(tried)
        self.runner.progress.say(in_short(self.results.task_facts(), result))

    def _fail(self, entry: Candidate, why: str) -> None:
        self.tried.append(Tried(entry, self.workspace.candidate(entry.name), failed=why))
        for step in entry.steps:
            self.runner.progress.drop(step.name)
        self.runner.progress.say(f"{entry.name} failed: {why}")

    def _vocabulary(self, entry: Candidate, command: str) -> str | None:
        """Make the records of a smaller vocabulary before the export that reads them; why that failed."""
        if not entry.vocabulary or command != "export" or self._vocabulary_rows:
            return None
        config = self.resolved.config
        pruned = str(entry.steps[-2].output)
        model = entry.base.config
        step = prepare_step(self.resolved, model, self.workspace, pruned)
        assert step is not None, "records are given: the vocabulary stays"
        if failed := self.runner.run(step):
            return failed
        try:
            self._vocabulary_rows = vocabulary_rows(config, self.workspace, self.results.rows)
        except UserError as error:
            return str(error)
        if text := unknown_words(self.results.rows, self._vocabulary_rows):
            self.runner.warnings.append(text)
        return None

    def _measured(self, entry: Candidate) -> Tried:
        rows = (self._vocabulary_rows if entry.vocabulary else None) or self.results.rows
        folder = self.workspace.candidate(entry.name)
        logits = half_logits(folder, rows.task, rows.datasets, self.workspace.logits(entry.name))
        return Tried(entry, folder, logits)

    def measure_latencies(self) -> None:
        """Measure all files anew, in turn."""
        self._measure_latencies([tried for tried in self.tried if not tried.failed])

    def _measure_latencies(self, tried: Sequence[Tried]) -> None:
        found = latencies([each.folder for each in tried], self.resolved.config.threads)
        names = [each.candidate.name for each in tried]
        known = self.runner.journal.get(LATENCIES) or {}
        self.runner.journal.put(LATENCIES, {**known, **dict(zip(names, found, strict=True))})

    def all_results(self) -> list[CandidateResult]:
        """All figures of what was tried, the given model first."""
        return [self.results.candidate(tried) for tried in self.tried]
