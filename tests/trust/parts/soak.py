"""A run killed and resumed again and again; memory and open files over the epochs of a long run."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..forks import wait
from ..inputs import Inputs
from ..outcomes import Case, Settings, left, snapshot
from ..stages import STAGES, Run, Stage, difference

FIGURE = "soak"
CYCLES, EPOCHS = 30, 20
GROWTH = 16 << 20  # bytes between the first third of the epochs and the last
POLL = 0.02


def cases(settings: Settings) -> Iterator[Case]:
    """The cycles of one run, and the memory of each stage."""
    if not settings.slice:
        yield Case("cycles", partial(_check_cycles, settings))
    for stage in STAGES[:1] if settings.slice else STAGES[:4]:
        yield Case(f"memory, {stage.name}", partial(_check_memory, settings, stage))


def _check_cycles(settings: Settings) -> Iterator[tuple[str, str | None]]:
    stage, draw = STAGES[0], settings.draw("soak")
    inputs, cycles = Inputs(settings.folder / "inputs"), settings.count(CYCLES, 3)
    whole = Run(stage, inputs, settings.folder / "whole", cycles)
    ended = whole.start()
    if ended.code:
        raise RuntimeError(ended.err[-500:])
    here = set(os.listdir())
    run = Run(stage, inputs, settings.folder / "broken", cycles)
    for cycle in range(cycles):
        # An epoch makes about so many calls; a start that resumes makes some more.
        ended = run.start(draw.randint(30, 30 + whole.calls() // cycles))
        yield (
            f"cycle {cycle}",
            None if ended.code in (-9, 0) else f"it fails: {ended.err[-300:]}",
        )
    ended = run.start()
    yield (
        "resuming",
        f"it fails: {ended.err[-300:]}" if ended.code else difference(run.result(), whole.result()),
    )
    remaining = left(snapshot(run.folder))
    yield "temporary files", f"it leaves {remaining[0]}" if remaining else None
    new = set(os.listdir()) - here - {"__pycache__"}
    yield "the working folder", f"it leaves {min(new)} there" if new else None


def _check_memory(settings: Settings, stage: Stage) -> Iterator[tuple[str, str | None]]:
    from src.errors import run_main

    epochs = settings.count(EPOCHS, 6)
    run = Run(stage, Inputs(settings.folder / "inputs"), settings.folder / f"long-{stage.name}", epochs)
    arguments = stage.flags(run.inputs, run.output, epochs)
    process = os.fork()
    if process == 0:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        run_main(lambda: stage.main(arguments))
        os._exit(0)
    seen = _watch(process, run.output / "losses.jsonl")
    code = wait(process) if seen is not None else 1
    yield f"{epochs} epochs", f"exit code {code}" if code else None
    third = max(1, len(seen) // 3)
    early, late = seen[third : 2 * third] or seen, seen[-third:]
    grown = min(memory for memory, _ in late) - max(memory for memory, _ in early)
    yield "memory", f"{grown / 1e6:.0f} MB more at the end" if grown > GROWTH else None
    files = min(count for _, count in late) - max(count for _, count in early)
    yield "open files", f"{files} more at the end" if files > 0 else None


def _watch(process: int, log: Path) -> list[tuple[int, int]]:
    """(bytes in memory, open files) at each new line of a log until the process ends."""
    seen, lines = [], 0
    while os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        now = log.read_bytes().count(b"\n") if log.exists() else 0
        if now > lines:
            lines = now
            try:
                pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
                seen.append((pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{process}/fd"))))
            except (OSError, IndexError):
                break
        time.sleep(POLL)
    return seen
