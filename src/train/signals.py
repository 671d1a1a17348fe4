"""Ctrl+C, SIGTERM, SIGHUP and SIGUSR2, handled between two steps so that the state of the run can be saved.

mpirun forwards SIGUSR2 to its ranks; batch systems can send it before the time limit.
"""

import contextlib
import os
import signal
from types import FrameType

from ..errors import EXIT_INTERRUPTED


class StopSignal:
    """Within `with StopSignal() as stop` the first signal sets `stop.requested`; a second one interrupts.

    SIGHUP stays ignored where it was (nohup).
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)

    def __init__(self) -> None:
        self.requested = False
        self.exit_code = EXIT_INTERRUPTED
        self._previous: dict = {}

    def __enter__(self) -> "StopSignal":
        nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        numbers = [number for number in self.SIGNALS if not (nohup and number == signal.SIGHUP)]
        self._previous = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            previous = self._previous[signal.Signals(number)]
            if callable(previous):
                previous(number, frame)
            raise KeyboardInterrupt
        self.requested = True
        # While a graph runs MindSpore turns SIGINT into SIGTERM; from a terminal it was Ctrl+C.
        if number in (signal.SIGTERM, signal.SIGHUP) and not (number == signal.SIGTERM and in_foreground()):
            self.exit_code = 128 + number


def in_foreground() -> bool:
    """Whether this process belongs to the foreground of a terminal, to which Ctrl+C is sent."""
    with contextlib.suppress(OSError):
        handle = os.open("/dev/tty", os.O_RDONLY)
        try:
            return os.tcgetpgrp(handle) == os.getpgrp()
        finally:
            os.close(handle)
    return False
