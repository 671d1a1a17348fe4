"""Files that a run appends to, and can do without: a disk that refuses them is no reason to stop training."""

import os
from collections.abc import Callable
from pathlib import Path


class AppendFile:
    """A file that is appended to, without a buffer.

    Where the system refuses to open or write it, `on_refusal(path, error)` is called once, and what follows
    is dropped.
    """

    def __init__(self, path: Path, on_refusal: Callable[[Path, OSError], None]) -> None:
        self.path, self._on_refusal = path, on_refusal
        self.handle, self._refused = -1, False
        try:
            path.parent.mkdir(exist_ok=True)
            self.handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            self.refuse(error)

    def write(self, data: str | bytes) -> None:
        """Append text as UTF-8, or bytes."""
        rest = memoryview(data.encode() if isinstance(data, str) else data)
        try:
            while rest and not self._refused:
                rest = rest[os.write(self.handle, rest) :]
        except OSError as error:
            self.refuse(error)

    def refuse(self, error: OSError) -> None:
        """Stop writing, since the system refused something about this file. It stays open, and locked."""
        if not self._refused:
            self._refused = True
            self._on_refusal(self.path, error)

    def close(self) -> None:
        """Close the file."""
        handle, self.handle, self._refused = self.handle, -1, True
        if handle >= 0:
            try:
                os.close(handle)
            except OSError as error:
                self._on_refusal(self.path, error)
