"""Errors of the disk at every call of a save: one sentence, a code that is not 0, nothing half."""

import errno
from collections.abc import Iterator

from ..outcomes import Case, Settings
from .saves import Scene, after, writer_cases

FIGURE = "errors"
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES)
CALLS = 40  # of one writer and error, at most
REPEATED = 5  # one of so many is followed by a start without a fault


def cases(settings: Settings) -> Iterator[Case]:
    """A case for each writer, with and without an earlier version in place."""
    yield from writer_cases(settings, check_errors)


def check_errors(settings: Settings, scene: Scene) -> Iterator[tuple[str, str | None]]:
    """Fail at calls with each error."""
    scene.begin()
    points = range(1, scene.calls + 1)
    for error in ERRORS:
        draw = settings.draw("errors", scene.writer.name, scene.has_old, error)
        chosen = sorted(draw.sample(points, min(len(points), settings.count(CALLS, 2))))
        for place, call in enumerate(chosen):
            scene.reset()
            ended = scene.run(call, error)
            problem = ended.problem() or scene.neither()
            if not problem and ended.code == 0 and not scene.writer.tolerant:
                # What it fails to delete, it may leave to the next start.
                problem = scene.is_new(but_left=True)
            if not problem and ended.code and scene.writer.tolerant:
                problem = f"it ends: {ended.err.strip()[-200:]}"
            if not problem and place % REPEATED == 0:
                problem = after(scene)
            yield f"{errno.errorcode[error]} at call {call} of {scene.calls}", problem
