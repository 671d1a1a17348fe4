"""Runs that are killed at random calls and resumed end where an unbroken run ends."""

from collections.abc import Iterator
from functools import partial

from ..inputs import Inputs
from ..outcomes import Case, Settings, left, snapshot
from ..stages import STAGES, TWO_RANKS, Run, Stage, difference, unbroken

FIGURE = "kills"
KILLS, IN_A_ROW, EPOCHS = 100, 4, 2


def cases(settings: Settings) -> Iterator[Case]:
    """Chains of kills, and for each stage whether two unbroken runs are identical."""
    stages = STAGES[:1] if settings.slice else STAGES
    chains = settings.count(KILLS // IN_A_ROW // len(STAGES), 1)
    for stage in sorted(stages, key=lambda stage: stage.name != TWO_RANKS):  # the longest first
        yield Case(f"{stage.name}, unbroken", partial(_check_determinism, settings, stage))
        for number in range(chains):
            yield Case(f"{stage.name}, chain {number}", partial(_check_chain, settings, stage, number))


def _check_determinism(settings: Settings, stage: Stage) -> Iterator[tuple]:
    yield "determinism", "two unbroken runs", unbroken(settings, stage, EPOCHS)[1]


def _check_chain(settings: Settings, stage: Stage, number: int) -> Iterator[tuple]:
    expected, _, calls = unbroken(settings, stage, EPOCHS)
    draw = settings.draw("kills", stage.name, number)
    run = Run(stage, Inputs(settings.folder / "inputs"), settings.folder / f"{stage.name}-{number}", EPOCHS)
    killed: list[int] = []
    ended = None
    # Later starts have less to do; what ends before its call is reached is compared as it is.
    for place in range(settings.count(IN_A_ROW, 2) if settings.slice else IN_A_ROW):
        call = draw.randint(1, max(1, (calls if place == 0 else calls // 2) // 2))
        ended = run.start(call)
        if ended.code == 0:
            break
        killed.append(call)
    if ended is None or ended.code:
        ended = run.start()
    problem = f"resuming fails: {ended.err.strip()[-300:]}" if ended.code else None
    problem = problem or difference(run.result(), expected)
    for call in killed or [0]:
        yield f"killed at calls {killed}, this one {call}", problem
    remaining = left(snapshot(run.folder))
    yield "left", f"killed at calls {killed}", f"it leaves {remaining[0]}" if remaining else None
