"""Runs benchmark subjects in separate processes: models stay loaded and compute only when called.

A request is a line of JSON on the subprocess's standard input, {"call", **arguments}; the response is a line
of JSON on its standard output. Everything else that it prints goes to its log file.
"""

import importlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.errors import UserError

SAMPLED_EVERY = 0.05  # seconds
# Subjects choose their own threading settings: variables with these prefixes are not inherited.
NOT_INHERITED = ("OMP_", "KMP_", "GOMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_")
ERROR = "error"


class Peer:
    """A subprocess with one subject: `module:Class`, constructed from `options`, with extra `environment`."""

    def __init__(
        self,
        name: str,
        subject: str,
        options: Mapping[str, Any],
        environment: Mapping[str, str],
        folder: str | Path,
    ) -> None:
        self.name, self.memory = name, 0.0
        self.log = Path(folder) / f"{name}.log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(NOT_INHERITED)}
        command = [sys.executable, "-m", "benchmarks.processes", subject, json.dumps(options)]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**inherited, **environment},
            )

    def send(self, call: str, **arguments: Any) -> None:
        """Request a call of one of the subject's methods; `receive` returns its result."""
        print(json.dumps({"call": call, **arguments}), file=self.process.stdin, flush=True)

    def receive(self) -> dict[str, Any]:
        """Return the response {name: value}. Raises UserError if the subject did or its process died."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise UserError(f"{self.name} died ({last_line(self.log.read_text(errors='replace'))})")
        response = json.loads(line)
        self.memory = max(self.memory, response.pop("memory"))
        if ERROR in response:
            raise UserError(response[ERROR])
        return response

    def request(self, call: str, **arguments: Any) -> dict[str, Any]:
        """Call `send`, then `receive`."""
        self.send(call, **arguments)
        return self.receive()

    def close(self) -> None:
        """Terminate the subprocess."""
        self.process.terminate()
        self.process.communicate()


def last_line(text: str) -> str:
    """Return the last line of a process's output."""
    return (text.strip().splitlines() or ["no message"])[-1]


class AnonymousMemory(threading.Thread):
    """Samples the peak anonymous resident memory (RssAnon) of this process, in GB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self._stopped = 0.0, threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(SAMPLED_EVERY):
            self.sample()

    def sample(self) -> float:
        """Take a sample now; returns the peak."""
        with open("/proc/self/status") as lines:
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
        self.peak = max(self.peak, kilobytes * 1024 / 1e9)
        return self.peak


def serve(subject: str, options: Mapping[str, Any]) -> None:
    """Serve requests from standard input until it is closed."""
    responses = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of the frameworks goes to the log
    memory = AnonymousMemory()
    memory.start()
    module, name = subject.split(":")
    instance = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            instance = instance or getattr(importlib.import_module(module), name)(**options)
            response = getattr(instance, request.pop("call"))(**request)
        except UserError as error:
            response = {ERROR: str(error)}
        print(json.dumps({**response, "memory": memory.sample()}), file=responses, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
