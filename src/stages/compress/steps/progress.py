"""One progress line over all steps of a run, with the time left."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping

from tqdm import tqdm

TICK = 1.0  # seconds between two updates of the bar
LINE = 60.0  # seconds between two lines where the output is no terminal
PRIOR = 120.0  # seconds of the plan that count as taken as planned: the first steps are short and few


class Progress:
    """A bar on a terminal; elsewhere a line as a step begins and ends, and once a minute.

    `left` {step: seconds} are the estimates of steps to come. The time left is scaled by how long the
    finished ones took.
    """

    def __init__(self) -> None:
        self.output = sys.stdout  # that of steps is redirected
        self.left: dict[str, float] = {}
        self.planned = self.taken = self._since = 0.0
        self.current, self.guessed = "", False
        self.bar = tqdm(
            total=1,
            disable=None,
            leave=False,
            file=self.output,
            bar_format="{desc} |{bar}| {percentage:.0f} %",
        )

    @property
    def pace(self) -> float:
        """Seconds taken for each planned one."""
        return (self.taken + PRIOR) / (self.planned + PRIOR)

    def seconds_left(self) -> float:
        """Estimated seconds of the steps to come, the rest of the current one included."""
        now = min(time.monotonic() - self._since, self.pace * self.left.get(self.current, 0.0))
        return max(self.pace * sum(self.left.values()) - (now if self.current else 0.0), 0.0)

    def plan(self, steps: Mapping[str, float], guessed: bool = False) -> None:
        """Set the estimates {step: seconds} of the steps to come; `guessed` before anything is measured."""
        self.left, self.guessed = dict(steps), guessed

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show a step while it runs."""
        self.current, self._since = name, time.monotonic()
        stopped = threading.Event()
        if self.bar.disable:
            self.say(f"{name} ...{self._eta()}")
        watcher = threading.Thread(target=self._watch, args=(stopped,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stopped.set()
            watcher.join()
            self.current = ""

    def _watch(self, stopped: threading.Event) -> None:
        interval = LINE if self.bar.disable else TICK
        while True:
            if self.bar.disable:
                if stopped.wait(interval):
                    return
                self.say(f"{self.current}: {duration(time.monotonic() - self._since)}{self._eta()}")
            else:
                self._show()
                if stopped.wait(interval):
                    return

    def _show(self) -> None:
        left, gone = self.seconds_left(), time.monotonic() - self._since + self.taken
        self.bar.total = left + gone or 1.0
        self.bar.n = gone
        self.bar.set_description_str(f"{self.current}{self._eta()}")

    def _eta(self) -> str:
        left = self.seconds_left()
        return f", {duration(left)} left in all" if left else ""

    def end(self, step: str, seconds: float) -> None:
        """A step took `seconds`."""
        planned = self.left.pop(step, 0.0)
        if planned and not self.guessed:
            self.planned, self.taken = self.planned + planned, self.taken + seconds
        about = f" (planned {duration(planned)})" if planned and not self.guessed else ""
        self.say(f"{step}: {duration(seconds)}{about}")

    def drop(self, step: str) -> None:
        """A step will not run, or was finished before."""
        self.left.pop(step, None)

    def say(self, text: str) -> None:
        """Print lines above the bar."""
        tqdm.write(text, file=self.output)
        self.output.flush()

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()


def duration(seconds: float) -> str:
    """45 s, 12 min, 1 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
