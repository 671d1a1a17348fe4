"""Runs a function as a program of its own in a forked process, which has everything imported already."""

import dataclasses
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

GB = 1 << 30
SECONDS = 300  # generous: what hangs does not end, however slow the machine
LINES = 4


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended: exit code, minus the signal, or None where it did not end in time."""

    code: int | None
    out: str
    err: str

    def problem(self) -> str | None:
        """What is wrong with the way in which it ended: it must succeed, or say one sentence."""
        said = self.err.strip().splitlines()
        last = said[-1][:200] if said else ""
        if self.code is None:
            return "it hangs"
        if self.code < 0:
            return f"ended by {signal.Signals(-self.code).name} {last}"
        if "Traceback (most recent call last)" in self.err or "Fatal Python error" in self.err:
            return f"traceback: {last}"
        if "MemoryError" in self.err or "std::bad_alloc" in self.err:
            return f"memory: {last}"
        if self.code and len([line for line in said if line.startswith("error: ")]) != 1:
            return f"exit code {self.code} without one sentence: {last}"
        if self.code and len(said) > LINES:
            return f"{len(said)} lines for one error: {said[0][:100]}"
        if len(self.err) > 4000:
            return f"{len(self.err)} letters on stderr: {last}"
        return None


def forked(action: Callable[[], object], seconds: float = SECONDS, memory: int = 0) -> Ended:
    """Call `action()` as a command's main in a forked process; `memory` bytes more than now are allowed."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        sys.stderr.flush()
        process = os.fork()
        if process == 0:
            _run(action, out.fileno(), err.fileno(), memory)
        code = wait(process, seconds)
        return Ended(code, _text(out), _text(err))


def wait(process: int, seconds: float = SECONDS) -> int | None:
    """Wait for a child; its exit code, minus the signal, or None where it had to be killed."""
    end = time.monotonic() + seconds
    pause = 0.001
    while time.monotonic() < end:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def _run(action: Callable[[], object], out: int, err: int, memory: int) -> None:
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory:
            limit = _virtual_size() + memory
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        from src.errors import run_main

        try:
            run_main(action)
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    except BaseException:
        traceback.print_exc()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _virtual_size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _text(file: object) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
