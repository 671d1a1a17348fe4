"""What a run says: lines in log.txt and on the console, a progress bar, losses.jsonl for plots."""

import json
import logging
import math
import sys
import time
from pathlib import Path

from tqdm import tqdm


class Journal:
    """The log of one run. What is said before `open` waits for the folder; a resumed run appends."""

    def __init__(self, quiet=False):
        self.quiet = quiet
        self._early, self._log, self._losses = [], None, None
        # What the libraries of this project warn about is for people too.
        logging.basicConfig(level=logging.WARNING, format="warning: %(message)s", stream=sys.stderr)

    def open(self, folder):
        """Begin log.txt and losses.jsonl in `folder`."""
        self._log = open(Path(folder) / "log.txt", "a", encoding="utf-8", buffering=1)
        self._losses = open(Path(folder) / "losses.jsonl", "a", encoding="utf-8", buffering=1)
        for text in self._early:
            self._log.write(text + "\n")

    def say(self, text):
        """One line (or a few) for people."""
        if self._log:
            self._log.write(text + "\n")
        else:
            self._early.append(text)
        if not self.quiet:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def record(self, **values):
        """One line of losses.jsonl."""
        if self._losses:
            self._losses.write(json.dumps(values) + "\n")

    def bar(self, total, start, title):
        """A progress bar with ETA on a terminal; nothing where output goes to a file."""
        return tqdm(
            total=total,
            initial=start,
            desc=title,
            unit="step",
            disable=self.quiet or None,
            leave=False,
            file=sys.stdout,
            dynamic_ncols=True,
        )

    def close(self):
        """Close both files."""
        for file in filter(None, (self._log, self._losses)):
            file.close()


class Speed:
    """Examples a second since the last line of the log, and the time left at that rate."""

    def __init__(self):
        self.since = time.perf_counter()
        self.steps = self.examples = 0

    def add(self, steps, examples):
        """Count steps and the examples in them."""
        self.steps += steps
        self.examples += examples

    def read(self, steps_left):
        """(examples a second, ETA as h:mm:ss); starts a new stretch."""
        seconds = max(time.perf_counter() - self.since, 1e-9)
        rate, left = self.examples / seconds, steps_left * seconds / max(self.steps, 1)
        self.since, self.steps, self.examples = time.perf_counter(), 0, 0
        return rate, clock(left)


def clock(seconds):
    """Seconds as h:mm:ss."""
    whole = math.ceil(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
