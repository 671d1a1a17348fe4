"""Ctrl+C, SIGTERM and SIGUSR2, handled between two steps so that the state of the run can be saved.

mpirun forwards SIGUSR2 to its ranks; batch systems can send it before the time limit.
"""

import signal
from types import FrameType


class StopSignal:
    """Within `with StopSignal() as stop` the first signal sets `stop.requested`; a second one interrupts."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict = {}

    def __enter__(self) -> "StopSignal":
        self._previous = {number: signal.signal(number, self._handle) for number in self.SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
