"""Ctrl+C, SIGTERM and SIGHUP: one line on stderr and the exit code 128 + N at any moment of a program.

Few imports, since a program calls `exit_on_signals` before it imports anything else.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RETRY = 0.02  # seconds from one look at an import that is under way to the next
# How many `interruptible` sections are open; the signal that ended the program, if any.
STATE = {"sections": 0, "ended_by": 0}


def exit_on_signals() -> None:
    """End the program on a signal from now on; ignored signals (nohup) stay ignored."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def end(number: int, frame: FrameType | None = None) -> None:
    """Signal handler: end the program at once, or in an `interruptible` section with a KeyboardInterrupt.

    An exception that is raised while MindSpore is imported or compiles a graph would end in an abort; in a
    section it is raised once the import is over.
    """
    if STATE["sections"] and not STATE["ended_by"] and _is_importing(frame):
        signal.signal(signal.SIGALRM, lambda _, later: end(number, later))
        signal.setitimer(signal.ITIMER_REAL, RETRY)
        return
    interrupted_before, STATE["ended_by"] = STATE["ended_by"], number
    if STATE["sections"] and not interrupted_before:
        raise KeyboardInterrupt
    os.write(2, b"interrupted\n")
    os._exit(128 + number)


def _is_importing(frame: FrameType | None) -> bool:
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


def ignore_signals() -> None:
    """Ignore the signals from now on, if `exit_on_signals` was called: the program is done.

    Python would restore the system's handlers while it ends, which kill without a line.
    """
    for number in ENDING:
        if signal.getsignal(number) is end:
            signal.signal(number, signal.SIG_IGN)
            signal.setitimer(signal.ITIMER_REAL, 0)  # of a signal that waited for an import


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """A section that deletes its temporary files, or ends its processes, on KeyboardInterrupt."""
    STATE["sections"] += 1
    try:
        yield
    finally:
        STATE["sections"] -= 1


def was_raised() -> bool:
    """Whether a signal was raised as a KeyboardInterrupt."""
    return bool(STATE["ended_by"])


def exit_code(default: int) -> int:
    """128 + the number of the signal that was raised as a KeyboardInterrupt, else `default`."""
    return 128 + STATE["ended_by"] if STATE["ended_by"] else default
