"""The plan: what each candidate costs on this machine, what fits the budget, and what is left out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

from ....errors import UserError
from ...markdown import aligned
from ..report_data import LeftOut
from ..steps.journal import Journal
from ..steps.progress import duration
from .costs import Costs
from .ladder import BATCH, Candidate, Schedule

SCHEDULE = "schedule"  # in the journal
PHASE_STEPS = 500  # of each phase of a distillation
MIN_EPOCHS, MAX_EPOCHS = (1, 2), 10
# Times these steps, tried in this order until the plan fits the budget.
LEVELS = (2.0, 1.0, 0.5)
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+)s)?")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Candidates in order, first the model's float32 file, which is there, those with `breaks` to be tried
    only where it applies; and what is left out.

    `done_seconds` are those of finished steps, `steps` {name: estimated seconds} all that are surely still to
    be made.
    """

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    budget_seconds: float
    done_seconds: float
    schedule: Schedule
    train_rows: int
    memory_gb: float
    disk_gb: dict[str, float]
    steps: dict[str, float]

    @property
    def seconds(self) -> float:
        """Estimated seconds of the whole plan."""
        return self.done_seconds + sum(self.steps.values())

    def table(self) -> str:
        """The plan as text."""
        lines = [["candidate", "how", "minutes", "disk GB"]]
        seen: set[str] = set()
        for entry in self.candidates:
            new = [step for step in entry.steps if step.name not in seen]
            seen |= {step.name for step in new} if not entry.breaks else set()
            how = f"only if {entry.breaks} breaks the limit" if entry.breaks else entry.how
            minutes = sum(step.seconds for step in new) / 60
            lines.append([entry.name, how, f"{minutes:.1f}", f"{self.disk_gb[entry.name]:.2f}"])
        text = [
            f"plan: about {duration(self.seconds)}, {duration(self.done_seconds)} of them done, of "
            f"{duration(self.budget_seconds)} (--time_budget); memory about {self.memory_gb:.1f} GB",
            *self._sample(),
            aligned(lines, text_columns=2),
            *(f"left out: {left.name}: {left.why}" for left in self.left_out),
        ]
        return "\n".join(text)

    def _sample(self) -> list[str]:
        if self.schedule.rows == self.train_rows:
            return []
        rows = f"{self.schedule.rows:,} of the {self.train_rows:,} training rows"
        return [f"students train on {rows}, so that more of them fit; a new run with a longer time takes all"]


def seconds_of(text: str) -> float:
    """`2h`, `40m`, `1h30m`, `90s` as seconds. Raises UserError for anything else."""
    match = DURATION.fullmatch(text.strip().lower())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise UserError(f'--time_budget "{text}" is not a time; write 40m, 2h or 1h30m')
    return total


def make_plan(
    ladder_of: Callable[[Schedule], Sequence[Candidate]],
    costs_of: Callable[[Schedule], Costs],
    train_rows: int,
    budget: float,
    journal: Journal,
) -> Plan:
    """The Plan for a budget in seconds: the longest schedule that fits it, or the candidates that fit the
    shortest.

    A resumed run that has begun to train keeps its schedule, which `journal` has, whatever its budget is now:
    with another one the students that are done would be trained anew.
    """
    known = journal.get(SCHEDULE) if journal.has_trained() else None
    for schedule in [Schedule(*known)] if known else schedules(train_rows):
        costs = costs_of(schedule)
        ladder = [costs.timed(candidate) for candidate in ladder_of(schedule)]
        large = too_large(ladder, costs)
        small = [entry for entry in ladder if entry.name not in {left.name for left in large}]
        kept, late = in_time(small, budget - journal.seconds, journal)
        if not late:
            break
    journal.put(SCHEDULE, list(schedule))
    disk = {entry.name: costs.disk_gb(entry) for entry in kept}
    sure = [entry for entry in kept[1:] if not entry.breaks]
    return Plan(
        tuple(kept),
        (*large, *late),
        budget,
        journal.seconds,
        schedule,
        train_rows,
        costs.measured.memory_gb,
        disk,
        {name: time for entry in sure for name, time in entry.undone(journal).items()},
    )


def schedules(rows: int) -> list[Schedule]:
    """Schedules over a number of training rows, the longest first: about PHASE_STEPS steps a phase, times
    each of LEVELS, but at least MIN_EPOCHS of all rows; then MIN_EPOCHS of as many rows as make the steps."""
    steps = [round(PHASE_STEPS * BATCH * level) for level in LEVELS]
    epochs = [[min(max(round(each / rows), least), MAX_EPOCHS) for least in MIN_EPOCHS] for each in steps]
    whole = dict.fromkeys(Schedule(first, second, rows) for first, second in epochs)
    return [*whole, *(Schedule(*MIN_EPOCHS, each) for each in steps if each < rows)]


def too_large(ladder: Sequence[Candidate], costs: Costs) -> list[LeftOut]:
    """The students for which the disk has no room, which no schedule changes."""
    free = costs.measured.free_gb
    return [
        LeftOut(entry.name, f"it needs {costs.disk_gb(entry):.1f} GB of disk, and {free:.1f} GB are free")
        for entry in ladder
        if entry.base.steps and costs.disk_gb(entry) > free
    ]


def over_budget(needed: float, left: float) -> str:
    """Why a candidate is left out that needs more seconds than are left."""
    return f"it needs {duration(needed)}, and {duration(max(left, 0.0))} of --time_budget are left"


def in_time(
    ladder: Sequence[Candidate], seconds: float, journal: Journal
) -> tuple[list[Candidate], list[LeftOut]]:
    """(candidates that fit the time, the others with the reason). What is done takes none.

    The given model and its integers are always kept. What is tried only under a condition takes no time from
    the others, and is kept where its base is.
    """
    kept: list[Candidate] = []
    late: list[LeftOut] = []
    counted: set[str] = set()
    for entry in ladder:
        if entry.breaks:
            if entry.breaks in [other.name for other in kept]:
                kept.append(entry)
            continue
        new = entry.undone(journal)
        needed = sum(time for name, time in new.items() if name not in counted)
        if entry.base.steps and needed > max(seconds, 0.0):
            late.append(LeftOut(entry.name, over_budget(needed, seconds)))
            continue
        kept.append(entry)
        seconds -= needed
        counted |= set(new)
    return kept, late
