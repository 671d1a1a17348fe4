"""Subjects in processes of their own, which take turns: each keeps its models, and works only when asked.

A request is a line of JSON on the process's standard input, {"call", **arguments}; the answer is a line on
its standard output. All else that it prints goes to its log.
"""

import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from src.errors import UserError

SAMPLED_EVERY = 0.05  # seconds
# What a subject computes with is its own choice, whatever the shell says.
CHOSEN = ("OMP_", "KMP_", "GOMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_")
OWN_REFUSAL = "refused"


class Peer:
    """A process with one subject: `module:Class` made with `options`, under its own `environment`."""

    def __init__(self, name, subject, options, environment, folder):
        self.name, self.memory = name, 0.0
        self.log = Path(folder) / f"{name}.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(CHOSEN)}
        command = [sys.executable, "-m", "benchmarks.processes", subject, json.dumps(options)]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**kept, **environment},
            )

    def send(self, call, **arguments):
        """Have a method of the subject called; what it returns comes by `receive`."""
        print(json.dumps({"call": call, **arguments}), file=self.process.stdin, flush=True)

    def receive(self):
        """The answer {name: value}. Raises UserError for what the subject refuses or dies of."""
        line = self.process.stdout.readline()
        if not line:
            raise UserError(f"{self.name} died ({last_line(self.log.read_text(errors='replace'))})")
        answer = json.loads(line)
        self.memory = max(self.memory, answer.pop("memory"))
        if OWN_REFUSAL in answer:
            raise UserError(answer[OWN_REFUSAL])
        return answer

    def ask(self, call, **arguments):
        """`send` and `receive`."""
        self.send(call, **arguments)
        return self.receive()

    def close(self):
        """End the process."""
        self.process.terminate()
        self.process.communicate()


def last_line(text):
    """The last line of what a process said."""
    return (text.strip().splitlines() or ["no message"])[-1]


class AnonymousMemory(threading.Thread):
    """Keeps the largest resident memory of this process that belongs to no file, in GB."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self._ended = 0.0, threading.Event()

    def run(self):
        while not self._ended.wait(SAMPLED_EVERY):
            self.sample()

    def sample(self):
        """Look now; returns the peak."""
        with open("/proc/self/status") as lines:
            kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
        self.peak = max(self.peak, kilobytes * 1024 / 1e9)
        return self.peak


def serve(subject, options):
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what frameworks print
    memory = AnonymousMemory()
    memory.start()
    module, name = subject.split(":")
    made = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            made = made or getattr(importlib.import_module(module), name)(**options)
            answer = getattr(made, request.pop("call"))(**request)
        except UserError as refusal:
            answer = {OWN_REFUSAL: str(refusal)}
        print(json.dumps({**answer, "memory": memory.sample()}), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
