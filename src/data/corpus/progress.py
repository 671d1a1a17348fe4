"""Progress of corpus preparation: tqdm on a terminal, a line every 30 seconds in a log."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

LOG_SECONDS = 30.0
LINE = "{n_fmt}B of {total_fmt}B of text ({percentage:.0f}%), {rate_fmt}, {remaining} left"


class Progress:
    """Reports on stderr. `total` is in bytes of text; `clock` gives seconds."""

    def __init__(
        self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.done = total, 0
        self._stream, self._clock = stream or sys.stderr, clock
        self._start = self._printed = clock()
        # disable=None: tqdm is silent where the output is not a terminal.
        self._bar = tqdm(
            total=total, unit="B", unit_scale=True, desc="text", file=self._stream, disable=None, leave=False
        )

    def update(self, done: int) -> None:
        """Set the number of bytes read so far."""
        self._bar.update(done - self.done)
        self.done, now = done, self._clock()
        if self._bar.disable and now - self._printed >= LOG_SECONDS:
            self._printed = now
            line = tqdm.format_meter(
                done, self.total, self.seconds, unit="B", unit_scale=True, bar_format=LINE
            )
            print(line, file=self._stream, flush=True)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    @property
    def rate(self) -> float:
        """Bytes of text per second."""
        return self.done / max(self.seconds, 1e-9)

    def close(self) -> None:
        """Clear the progress bar."""
        self._bar.close()
