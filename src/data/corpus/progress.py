"""How far the making of a corpus is: text read, rate and time left."""

import sys
import time

# Seconds between two reports: on a terminal, and in a log.
ON_TERMINAL, IN_LOG = 0.5, 30.0


class Progress:
    """Reports on stderr. `total` is in bytes of text; `clock` gives seconds."""

    def __init__(self, total, stream=None, clock=time.monotonic):
        self.total, self.done = total, 0
        self._stream, self._clock = stream or sys.stderr, clock
        self._terminal = self._stream.isatty()
        self._begun = clock()
        self._said = self._begun - (ON_TERMINAL if self._terminal else 0)

    def show(self, done):
        """Note that `done` bytes have been read, and say so if the last report is old enough."""
        self.done, now = done, self._clock()
        if now - self._said >= (ON_TERMINAL if self._terminal else IN_LOG):
            self._said = now
            begin, end = ("\r", "\033[K") if self._terminal else ("", "\n")
            print(f"{begin}{self.line()}", end=end, file=self._stream, flush=True)

    def line(self):
        """What there is to say now."""
        rate = self.rate
        left = _duration((self.total - self.done) / rate) if rate else "unknown time"
        return (
            f"{self.done / 1e6:,.1f} of {self.total / 1e6:,.1f} MB of text "
            f"({self.done / max(self.total, 1):.0%}), {rate / 1e6:.2f} MB/s, {left} left"
        )

    @property
    def seconds(self):
        """Since the beginning."""
        return self._clock() - self._begun

    @property
    def rate(self):
        """Bytes of text a second."""
        return self.done / max(self.seconds, 1e-9)

    def end(self):
        """Leave the terminal's line to others."""
        if self._terminal:
            print("\r\033[K", end="", file=self._stream, flush=True)


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
