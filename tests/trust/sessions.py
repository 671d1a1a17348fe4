"""Commands in a session of their own, as a terminal starts them: signals go to the whole session."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def start(command: Sequence[object], cwd: Path | None = None, **environment: str) -> subprocess.Popen:
    """Start a command without the fault injection of this process."""
    around = {**os.environ, "PYTHON": sys.executable, **environment}
    around.pop("LD_PRELOAD", None)
    return subprocess.Popen(
        list(map(str, command)),
        cwd=cwd,
        env=around,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def outputs(process: subprocess.Popen, seconds: float) -> tuple[str, str] | None:
    """Wait for the end; returns stdout and stderr, or None where the session had to be killed."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return None
