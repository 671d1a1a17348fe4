"""The command compress: setup, plan, candidates one after the other, report and recommendation."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...config.cli import Resolved
from ...config.data_config import ModelConfig
from ...config.fields import defaults_of, to_dict
from ...data.dataset import TokenizedDataset
from ...data.splits import check_models
from ...errors import EXIT_INTERRUPTED, Interrupted, UserError, join_names
from ...files import folder_lock
from ...metrics import predicted_labels
from ...output_dir import (
    atomic_output_dir,
    check_output_dir,
    delete_owned,
    fresh_output_dir,
    remove_leftovers_in,
)
from ...signals import interruptible
from ...tasks import TaskSpec
from ..model.inference import load_for_inference
from ..model.labels import match_labels
from ..training.run import resume_command
from .models import read_general, read_given
from .planning.costs import Costs
from .planning.ladder import BASELINE, Candidate, Ladder, weight_flags
from .planning.measure import TRIAL, measure
from .planning.plan import Plan, make_plan, seconds_of
from .report import SUMMARY_FILE, write_report
from .report_data import CandidateResult, ReportData
from .selection.limits import closest, recommend
from .selection.outputs import logits_of
from .selection.results import Results, limits_of, machine_facts
from .selection.verdict import few_rows, in_short, verdict
from .steps.journal import Journal
from .steps.rows import input_hashes, prepare_step, read_rows, task_of_rows
from .steps.runner import Commands, Runner, Step
from .steps.workspace import EXPORTED, WRITTEN, Workspace
from .trials import Trials

if TYPE_CHECKING:
    from ...tools.compress import CompressConfig

EXIT_NO_CANDIDATE = 3
SHOWN = 10  # labels in an error
# Flags that may differ between an interrupted run and the one that resumes it.
FREE_ON_RESUME = (
    "max_drop",
    "max_latency_ms",
    "max_size_mb",
    "min_agreement",
    "strict",
    "prefer",
    "threads",
    "time_budget",
    "plan",
    "resume",
    "overwrite_output_dir",
)
SETUP = {"prepare": 5.0, f"export-{BASELINE}": 20.0, TRIAL: 25.0}  # seconds, before anything is measured


def compress(resolved: Resolved[CompressConfig], commands: Commands) -> int:
    """Run the command; returns 0, or EXIT_NO_CANDIDATE where no candidate is within the limits.

    `commands` {name: main function} are those of the steps. Raises UserError for wrong input, with nothing
    left behind, and Interrupted after the report of what was done until then.
    """
    with interruptible(), contextlib.ExitStack() as locks:
        run = Compression(resolved, commands, locks)
        try:
            plan = run.set_up()
            run.runner.progress.say(plan.table())
            if resolved.config.plan:
                return 0
            run.try_all(plan)
            run.runner.progress.close()
            return run.finish()
        except (KeyboardInterrupt, Interrupted) as error:
            code = getattr(error, "exit_code", EXIT_INTERRUPTED)
            raise Interrupted(run.interrupted(), code) from None
        except UserError:
            run.discard()
            raise
        finally:
            run.runner.progress.close()


class Compression:
    """One run. The constructor checks flags and files and writes nothing; `locks` gets that of the folder."""

    def __init__(
        self, resolved: Resolved[CompressConfig], commands: Commands, locks: contextlib.ExitStack
    ) -> None:
        self.resolved, self.config, self.locks = resolved, resolved.config, locks
        config = self.config
        self.budget = seconds_of(config.time_budget)
        self.workspace = Workspace(Path(config.output_dir))
        self.files = read_given(config)
        self.general = read_general(config, self.files) if config.load_gd_ckpt_path else None
        self.files.arrays.clear()  # the steps read them anew
        self.prepare = prepare_step(resolved, self.files.config, self.workspace)
        self.hashes = input_hashes(config)
        self._lock()
        self.journal = Journal(self.workspace.journal, to_dict(config), self.hashes)
        if config.resume:
            self.journal.resume(FREE_ON_RESUME, defaults_of(config))
            remove_leftovers_in(self.workspace.folder, WRITTEN)
        else:
            check_output_dir(self.workspace.folder, config.overwrite_output_dir, list(self.hashes))
        self.runner = Runner(self.workspace, self.journal, commands)
        self.trials: Trials | None = None
        self.created = self.is_planned = False

    def set_up(self) -> Plan:
        """Records, the model in float32, its predictions, the measurement of this machine, the plan."""
        config, workspace, runner = self.config, self.workspace, self.runner
        if not config.resume:
            fresh_output_dir(workspace.folder, config.overwrite_output_dir, list(self.hashes), WRITTEN)
            self.created = True
            self._lock()
            self.journal.write()
        runner.progress.plan(SETUP, guessed=True)
        if self.prepare:
            self._require(self.prepare)
        runner.progress.drop("prepare")
        task, _ = task_of_rows(config, workspace)
        if match_labels(self.files.config, task, self.files.source, runner.progress.say) is None:
            model = self.files.config
            raise UserError(
                f"{self.files.source} predicts {_named(model.labels)} ({model.output_mode}), but the rows "
                f"are of {task.name}, with {_named(task.labels)} ({task.output_mode})"
            )
        # It names no evaluation rows: the labels of their halves may be its predictions.
        flags = {
            **weight_flags(config),
            "model_dir": config.model_dir,
            "output_dir": workspace.candidate(BASELINE),
        }
        name, output = f"export-{BASELINE}", workspace.candidate(BASELINE)
        export = Step(name, "export", flags, output, SETUP[name])
        self._require(export)
        export = dataclasses.replace(export, seconds=self.journal.seconds_of(name))
        rows = read_rows(config, workspace, self._predicted)
        if not rows.labeled and self.resolved.origins["max_drop"] == "command line":
            raise UserError(
                "--max_drop is about labels, and the evaluation rows have none: candidates are compared by "
                "their agreement with the model; give --min_agreement"
            )
        if self.general:
            train, path = rows.datasets["train"], config.load_gd_ckpt_path
            check_models(train, [(self.general, None)], None, path)  # its positions and segments
        runner.warnings += rows.warnings
        ladder = Ladder(self.files.config, self.general, rows, workspace, config)
        limits = limits_of(config, self.budget, rows.labeled)
        self.trials = Trials(self.resolved, workspace, runner, Results(config, rows, limits, self.journal))
        baseline = Candidate(BASELINE, "the given model", "float32", ladder.model, (export,))
        self.trials.start(baseline)
        self._say_rows()
        students = ladder.students(ladder.once._replace(second=0))
        measured = measure(runner, workspace, rows, students[0] if students else None, export)
        has_text = self.prepare is not None and rows.task.output_mode != "token_classification"
        plan = make_plan(
            lambda schedule: [baseline, *ladder.candidates(schedule, has_text)],
            lambda schedule: Costs(measured, self.files.config, rows, schedule),
            rows.datasets["train"].rows,
            self.budget,
            self.journal,
        )
        left_out = (*plan.left_out, *ladder.impossible(has_text))
        self.is_planned = True
        return dataclasses.replace(plan, left_out=left_out)

    def _lock(self) -> None:
        """Refuse an output folder that another run of the command is writing to."""
        self.locks.close()
        if self.workspace.folder.is_dir():
            self.locks.enter_context(folder_lock(self.workspace.folder, "wait for it, or stop it"))

    def _require(self, step: Step) -> None:
        if failed := self.runner.run(step):
            raise UserError(failed)

    def _predicted(self, task: TaskSpec, dataset: TokenizedDataset) -> np.ndarray:
        """The predictions of the given model as labels."""
        model = load_for_inference(self.workspace.candidate(BASELINE), ModelConfig(), task=task)
        labels = predicted_labels(task, logits_of(model, dataset))
        return labels.astype(np.int32 if task.output_mode == "classification" else np.float32)

    def _say_rows(self) -> None:
        assert self.trials
        facts, progress = self.trials.results.task_facts(), self.runner.progress
        progress.say(
            f"{facts.name}: {facts.rows.train:,} training rows ({facts.rows.unlabeled:,} without a label), "
            f"{facts.rows.choose:,} evaluation rows to choose by, {facts.rows.report:,} to report"
        )
        progress.say(in_short(facts, self.trials.all_results()[0]))
        if text := few_rows(facts, self.trials.results.limits):
            self.runner.warnings.append(text)
            progress.say(f"warning: {text}")

    def try_all(self, plan: Plan) -> None:
        """Make and measure the candidates, and write the report after each, should this process be killed."""
        assert self.trials
        self.runner.progress.plan(plan.steps)
        self.trials.left_out += plan.left_out
        for entry in plan.candidates[1:]:
            self.trials.run(entry, self.budget)
            self.report(interrupted=True)

    def discard(self) -> None:
        """Delete the output folder of a new run whose input turned out to be wrong."""
        if self.created and not self.is_planned:
            delete_owned(self.workspace.folder)

    def interrupted(self) -> str:
        """Write the report of what is done, and say how to continue."""
        done = ""
        if self.trials and self.trials.tried:
            self.report(interrupted=True)
            done = f"; {self.workspace.folder / SUMMARY_FILE} has what is done"
        return f"interrupted{done}; continue with:\n  {resume_command()}"

    def finish(self) -> int:
        """Measure all latencies anew, write the report and the recommended model; returns the exit code."""
        assert self.trials
        self.trials.measure_latencies()
        data = self.report()
        print(f"\n{(self.workspace.folder / SUMMARY_FILE).read_text('utf-8')}")
        print(f"report: {self.workspace.folder / 'report.html'}")
        if data.status != "ok":
            print(f"all candidates: {self.workspace.folder / 'candidates'}; exit code {EXIT_NO_CANDIDATE}")
            return EXIT_NO_CANDIDATE
        print(f"recommended model: {self.workspace.recommended}")
        return 0

    def report(self, interrupted: bool = False) -> ReportData:
        """Write the report, and the recommended model; nothing recommended is deleted before the end."""
        trials = self.trials
        assert trials, "the rows are read"
        results, data_of = trials.all_results(), trials.results
        recommended = recommend(results, self.config.prefer)
        chosen = recommended or closest(results, data_of.limits)
        if recommended:
            recommended.recommended = True
        status = "interrupted" if interrupted else "ok" if recommended else "no_candidate"
        tried = next((each for each in trials.tried if chosen and each.candidate.name == chosen.name), None)
        task = data_of.task_facts()
        data = ReportData(
            verdict(task, data_of.limits, results[0], chosen, bool(recommended)),
            status,
            data_of.model_facts(self.files.source, self.files.config, results[0]),
            data_of.limits,
            task,
            machine_facts(self.config.threads),
            results,
            chosen.name if chosen else None,
            data_of.changed(tried) if tried else [],
            trials.left_out,
            self.runner.warnings,
            list(self.runner.done.values()),
            self.hashes,
            round(self.journal.seconds, 1),
            round(self._planned_seconds(), 1),
        )
        write_report(data, self.workspace.folder)
        # A resumed run has not looked at all that an earlier recommendation was chosen from.
        if (
            not interrupted
            or recommended
            and not (self.config.resume and self.workspace.recommended.is_dir())
        ):
            self._recommend(recommended)
        return data

    def _planned_seconds(self) -> float:
        """Seconds that were planned for the commands that ran; those before the plan as they were."""
        runner, journal = self.runner, self.journal
        return sum(
            journal.seconds_of(name) if name in SETUP else planned for name, planned in runner.planned.items()
        )

    def _recommend(self, chosen: CandidateResult | None) -> None:
        """Copy the chosen candidate to recommended/, or delete what is there of an earlier choice."""
        folder = self.workspace.recommended
        if chosen is None:
            if folder.is_dir():
                delete_owned(folder)
            return
        with atomic_output_dir(folder, folder.is_dir(), (), EXPORTED) as temporary:
            for file in Path(chosen.folder).iterdir():
                if file.name in EXPORTED[1:]:
                    shutil.copyfile(file, temporary / file.name)


def _named(labels: Sequence[str]) -> str:
    return join_names(list(labels), SHOWN) if labels else "a score"
