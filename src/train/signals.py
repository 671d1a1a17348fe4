"""Ctrl+C, SIGTERM and SIGUSR2, noticed between two steps so that the state of the run can be saved.

SIGUSR2 is what mpirun passes on to its ranks, and what batch systems can send before the time is up.
"""

import signal


class StopSignal:
    """Inside `with StopSignal() as stop`, the first signal sets `stop.asked`; a second one ends at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)

    def __init__(self):
        self.asked = False
        self._before = {}

    def __enter__(self):
        self._before = {number: signal.signal(number, self._notice) for number in self.SIGNALS}
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _notice(self, number, frame):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
