"""Kills at every call of a save: all is the old version or the new one, and the next start mends the rest."""

import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from .. import injector
from ..forks import Ended, forked
from ..inputs import Inputs
from ..outcomes import Case, Settings, left, snapshot, visible
from ..writers import Writer, writers

FIGURE = "saves"
KILLED = -9
EVENTS = re.compile(r"tfevents.*")  # the rest of the name is the time and the machine
SLICE = ("checkpoint", "model folder", "tfrecord")


def cases(settings: Settings) -> Iterator[Case]:
    """A case for each writer, with and without an earlier version in place."""
    yield from writer_cases(settings, check_kills)


def writer_cases(settings: Settings, check: Callable) -> Iterator[Case]:
    """A case for each writer and base."""
    inputs = Inputs(settings.folder / "inputs")
    for writer in writers(inputs):
        if settings.slice and writer.name not in SLICE:
            continue
        for has_old in (True, False) if writer.replaces else (False,):
            name = f"{writer.name}, {'replaced' if has_old else 'fresh'}"
            yield Case(name, partial(check, settings, Scene(settings.folder, writer, has_old)))


class Scene:
    """A folder in which a writer writes version 2, over version 1 or over nothing."""

    def __init__(self, folder: Path, writer: Writer, has_old: bool) -> None:
        self.writer, self.has_old = writer, has_old
        self.place, self.base = folder / "place", folder / "base"

    def begin(self) -> None:
        """Write the versions once: the state before, the state after, and the number of calls between."""
        # Inputs are made, and modules imported, before anything is counted.
        for version in (1, 2):
            self._clear()
            self._must(forked(partial(self.writer.write, self.place, version)))
        self._clear()
        if self.has_old:
            self._must(forked(partial(self.writer.write, self.place, 1)))
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.copytree(self.place, self.base, symlinks=True)
        self.old = snapshot(self.place)
        file = self.place.with_name("calls")

        def counted() -> None:
            injector.arm(self.place)
            self.writer.write(self.place, 2)
            file.write_text(str(injector.calls()))

        self._must(forked(counted))
        self.calls, self.new = int(file.read_text()), snapshot(self.place)
        self.reset()
        self._must(forked(partial(self.writer.write, self.place, 2)))
        again = snapshot(self.place)
        # Files that differ between two runs, such as an event file with its time, only have to be there.
        self.varying = {name for name in again if self.new.get(name) != again[name]} | {*self.writer.varying}

    def reset(self) -> None:
        """Restore the state before."""
        self._clear()
        shutil.copytree(self.base, self.place, symlinks=True, dirs_exist_ok=True)

    def run(self, call: int, error: int = injector.KILL) -> Ended:
        """Write version 2 with a fault at a call (0: none)."""

        def write() -> None:
            if call:
                injector.arm(self.place, call, error)
            self.writer.write(self.place, 2)

        return forked(write)

    def neither(self) -> str | None:
        """What is neither old nor new now, or None; a log may end in half a line."""
        if self.writer.tolerant:
            return None
        now = visible(snapshot(self.place))
        old, new = visible(self.old), visible(self.new)
        units = {self.writer.unit(name) for name in (*now, *old, *new) if not self._is_working(name)}
        for unit in sorted(units):
            parts = [self._of(unit, each) for each in (now, old, new)]
            if parts[0] not in parts[1:] and parts[0]:
                return f"{unit} is neither old nor new"
            if not parts[0] and parts[1] and parts[2]:
                return f"{unit} is gone"
        return None

    def is_new(self, but_left: bool = False) -> str | None:
        """What differs from the state after, `but_left` but for temporary files; None when nothing does."""
        select = visible if but_left else dict
        now, new = (self._comparable(select(each)) for each in (snapshot(self.place), self.new))
        changed = sorted(set(now.items()) ^ set(new.items()))
        return f"{changed[0][0]} is not as after an unbroken run" if changed else None

    def _is_working(self, name: str) -> bool:
        return any(part.endswith(each) for part in name.split("/") for each in self.writer.working)

    def _of(self, unit: str, found: dict[str, str]) -> dict[str, str]:
        own = {name: value for name, value in found.items() if self.writer.unit(name) == unit}
        return self._comparable(own)

    def _comparable(self, found: dict[str, str]) -> dict[str, str]:
        # Logs grow line by line, and the next start appends to them.
        grows = self.writer.tolerant
        return {
            EVENTS.sub("tfevents", name): ""
            if grows or name in self.varying or EVENTS.search(name)
            else value
            for name, value in found.items()
        }

    def _clear(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()

    def _must(self, ended: Ended) -> None:
        if ended.code:
            raise RuntimeError(f"without a fault: {ended}")


def check_kills(settings: Settings, scene: Scene) -> Iterator[tuple[str, str | None]]:
    """Kill at each call."""
    scene.begin()
    draw = settings.draw("saves", scene.writer.name, scene.has_old)
    points = range(1, scene.calls + 1)
    for call in sorted(draw.sample(points, min(len(points), settings.count(len(points), 4)))):
        scene.reset()
        ended = scene.run(call)
        if ended.code != KILLED:
            # Threads and folders in another order make fewer calls now and then.
            yield (
                f"call {call} of {scene.calls}",
                None if ended.code == 0 and not scene.is_new() else str(ended),
            )
            continue
        yield f"call {call} of {scene.calls}", scene.neither()
        yield "left", f"call {call} of {scene.calls}", after(scene)


def after(scene: Scene) -> str | None:
    """What is wrong after the next start of the same command; None when all is new and nothing is left."""
    ended = scene.run(0)
    if ended.code:
        return f"the next start: {ended.err.strip()[-200:]}"
    remaining = left(snapshot(scene.place))
    return f"the next start leaves {remaining[0]}" if remaining else scene.is_new()
