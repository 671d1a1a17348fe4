"""Compares this project with PyTorch on one machine: each runs in its own process, and they take turns."""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.processes import Peer, last_line
from src.errors import UserError
from src.machine import describe_machine

ORIGINAL = "original"
WARM_UP, QUICK_WARM_UP = 7, 3  # untimed steps of each graph
STUDENT, BATCH, DROPOUT = "4L-312", 32, 0.1
NO_DROPOUT: dict[str, Any] = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
PRECISIONS = ("auto", "fp32", "bf16")  # of --matmul_precision; auto is the default
# Speedups available to a PyTorch user in a line or two: bfloat16 matmuls, fused Adam, torch.compile.
PLAIN = {"precision": "fp32", "compiled": False, "fused": False}
EASY = {
    "autocast": {"precision": "autocast", "compiled": False, "fused": True},
    "medium": {"precision": "medium", "compiled": False, "fused": True},
    "compiled": {"precision": "autocast", "compiled": True, "fused": True},
}


def make_parser(description: str, plot: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the flags that all comparisons share; --plot if there is something to draw."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows, steps and rounds")
    parser.add_argument("--rounds", type=int, default=0, help="number of rounds in which peers take turns")
    parser.add_argument("--rows", type=int, default=0, help="number of rows in the SST-2 slice")
    parser.add_argument("--data_dir", default="", help="SST-2 records (default: random rows)")
    parser.add_argument("--teacher", default="bert-base", help="preset of the randomly initialized teacher")
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads per process"
    )
    parser.add_argument("--json", default="", help="output file for the results")
    if plot:
        parser.add_argument("--plot", default="", help="output file for a plot of the results (.png)")
    return parser


class Comparison:
    """Context manager for named peers, each in its own process; terminates them on exit.

    `unavailable` {name: reason} holds the peers that cannot run on this machine.
    """

    def __init__(self, flags: argparse.Namespace) -> None:
        self.flags = flags
        self.peers: dict[str, Peer] = {}
        self.unavailable: dict[str, str] = {}
        self.prepared: dict[str, dict[str, Any]] = {}
        self._folder = tempfile.TemporaryDirectory()
        teacher = f"{self._folder.name}/teacher"
        write_teacher(flags.teacher, teacher)
        self._shared = {"teacher": teacher, "student": STUDENT}
        self._shared.update(data_dir=flags.data_dir, rows=flags.rows)

    def add_product(self, name: str, **flags: Any) -> None:
        """Start a peer that runs this project's task distillation with additional `flags`."""
        folder = f"{self._folder.name}/{name}-output"
        options = {**self._shared, "folder": folder, "flags": {"batch_size": BATCH, **flags}}
        self._start(name, "benchmarks.subjects.product:Product", options, {"GLOG_v": "3"})

    def add_pytorch(self, name: str, **options: Any) -> None:
        """Start a peer that runs TinyBERT in PyTorch with the `options` of subjects.pytorch.PyTorch."""
        options = {**self._shared, "batch_size": BATCH, **options}
        self._start(name, "benchmarks.subjects.pytorch:PyTorch", options, {})

    def _start(
        self, name: str, subject: str, options: Mapping[str, Any], environment: Mapping[str, str]
    ) -> None:
        threads = {"OMP_NUM_THREADS": str(self.flags.threads), "OMP_WAIT_POLICY": "passive"}
        self.peers[name] = Peer(name, subject, options, {**threads, **environment}, self._folder.name)

    def __enter__(self) -> Comparison:
        return self

    def __exit__(self, *_: object) -> None:
        for peer in self.peers.values():
            peer.close()
        self._folder.cleanup()

    def prepare(self, phases: Sequence[int]) -> None:
        """Compile and warm up all peers in parallel. Drops bf16 if this machine does not support it."""
        facts = describe_machine()
        print(f"{facts['processor']}, {facts['cores']} cores, {facts['instructions']}")
        print(f"load average at the start: {os.getloadavg()[0]:.1f}", flush=True)
        warm_up = QUICK_WARM_UP if self.flags.quick else WARM_UP
        for peer in self.peers.values():
            peer.send("prepare", phases=phases, warm_up=warm_up)
        for name, peer in list(self.peers.items()):
            try:
                self.prepared[name] = peer.receive()
                print(f"{name}: {self.prepared[name]['description']}", flush=True)
            except UserError as error:
                if name != "bf16":
                    raise
                self.unavailable[name] = str(error)
                self.peers.pop(name).close()

    def epoch_seconds(self, name: str, task: str, steps: int = 0) -> float | None:
        """Time `task` in a peer and extrapolate to one epoch over all of SST-2.

        Multiplies the mean step time of each length by the number of batches of that length, and scales the
        time outside the steps by the number of steps. Returns None for an unavailable peer.
        """
        if name in self.unavailable:
            return None
        timed = self.peers[name].request("run", task=task, steps=steps)
        counts = self.prepared[name]["counts"]
        by_length: dict[str, list[float]] = {}
        for length, seconds in timed["steps"]:
            by_length.setdefault(length, []).append(seconds)
        if set(counts) - set(by_length):
            raise UserError("the timed rows do not cover all lengths; increase --rows")
        in_steps = sum(count * statistics.mean(by_length[length]) for length, count in counts.items())
        return in_steps + timed["rest"] * sum(counts.values()) / len(timed["steps"])

    def steps_per_epoch(self) -> int:
        """Number of steps in an epoch over all of SST-2."""
        return sum(next(iter(self.prepared.values()))["counts"].values())

    def compile_seconds(self, name: str) -> float:
        """Total compilation time of a peer, in seconds."""
        return sum(self.prepared[name]["compile"].values()) if name in self.prepared else 0.0

    def memory(self, name: str) -> float:
        """Peak anonymous memory of a peer so far, in GB."""
        return self.peers[name].memory if name in self.peers else 0.0


def against_pytorch(
    flags: argparse.Namespace,
    easy: Iterable[str],
    sort_by_length: bool,
    dropout: float,
    product_flags: Mapping[str, Any],
) -> Comparison:
    """Compare this project in all PRECISIONS with the original and the `easy` variants (names of EASY).

    `sort_by_length` applies to the easy variants; `dropout` is the student's rate in PyTorch.
    """
    if not all(map(importlib.util.find_spec, ("torch", "transformers"))):
        raise UserError("the peer needs PyTorch: pip install -r requirements-dev.txt")
    peers = Comparison(flags)
    peers.add_pytorch(ORIGINAL, sort_by_length=False, dropout=dropout, **PLAIN)
    for name in easy:
        peers.add_pytorch(name, sort_by_length=sort_by_length, dropout=dropout, **EASY[name])
    for precision in PRECISIONS:
        peers.add_product(precision, matmul_precision=precision, **product_flags)
    return peers


def write_teacher(preset: str, folder: str) -> None:
    """Write a randomly initialized model directory, in a subprocess so that no framework is loaded here."""
    code = (
        "import sys; from src.stages.evaluation.random_model import random_arrays, random_config; "
        "from src.weights.huggingface import write_directory; config = random_config(sys.argv[1]); "
        "write_directory(sys.argv[2], random_arrays(config), config)"
    )
    command = [sys.executable, "-c", code, preset, folder]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode:
        raise UserError(f"cannot write the teacher ({last_line(result.stderr)})")
