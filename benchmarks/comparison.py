"""This project and PyTorch at the same work on the same machine, each in a process of its own, in turn."""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import Peer, last_line
from src.errors import UserError
from src.infer.machine import describe_machine

ORIGINAL = "original"
STUDENT, BATCH, DROPOUT = "4L-312", 32, 0.1
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
PASSIVE = {"OMP_WAIT_POLICY": "passive"}
# What a PyTorch user can do in a line or two: products in bfloat16, Adam in one kernel, a compiled model.
PLAIN = {"products": "fp32", "compiled": False, "fused": False}
EASY = {
    "autocast": {"products": "autocast", "compiled": False, "fused": True},
    "medium": {"products": "medium", "compiled": False, "fused": True},
    "compiled": {"products": "autocast", "compiled": True, "fused": True},
}


def parser_of(text):
    """The flags that the benchmarks share."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rows, steps and rounds: under five minutes")
    parser.add_argument("--rounds", type=int, default=0, help="rounds in which all take their turn")
    parser.add_argument("--rows", type=int, default=0, help="rows of the slice of SST-2")
    parser.add_argument("--data_dir", default="", help="records of SST-2 (default: its lengths)")
    parser.add_argument("--teacher", default="bert-base", help="preset of the random teacher")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each process")
    parser.add_argument("--json", default="", help="file for the figures")
    parser.add_argument("--plot", default="", help="file for a picture of them")
    return parser


class Comparison:
    """The peers, by name. Used as a context: they end with it.

    `easy` are names of EASY; `by_length` sorts their batches; `precisions` are this project's, `flags` its
    flags; `dropout` is the student's in PyTorch.
    """

    def __init__(self, flags, easy, by_length, dropout, product_flags):
        if not all(map(importlib.util.find_spec, ("torch", "transformers"))):
            raise UserError("the peer needs PyTorch: pip install -r requirements-dev.txt")
        self.flags, self.peers, self.absent, self.answers = flags, {}, {}, {}
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        shared = {"teacher": str(folder / "teacher"), "student": STUDENT}
        shared.update(data_dir=flags.data_dir, rows=flags.rows)
        write_teacher(flags.teacher, shared["teacher"])
        threads = {"OMP_NUM_THREADS": str(flags.threads)}
        torch = {**shared, "batch_size": BATCH, "dropout": dropout}
        kinds = {ORIGINAL: {**PLAIN, "by_length": False}}
        kinds.update({name: {**EASY[name], "by_length": by_length} for name in easy})
        for name, kind in kinds.items():
            options = {**torch, **kind}
            self._start(name, "benchmarks.pytorch_subject:PyTorch", options, {**threads, **PASSIVE})
        for precision in ("fp32", "bf16"):
            own = {"batch_size": BATCH, "matmul_precision": precision, **product_flags}
            options = {**shared, "folder": str(folder / precision), "flags": own}
            environment = {**threads, **PASSIVE, "GLOG_v": "3"}
            self._start(precision, "benchmarks.product_subject:Product", options, environment)

    def _start(self, name, subject, options, environment):
        self.peers[name] = Peer(name, subject, options, environment, self._folder.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for peer in self.peers.values():
            peer.close()
        self._folder.cleanup()

    def prepare(self, phases):
        """Compile and warm up, all at once. A precision that the machine does not have is set aside."""
        facts = describe_machine()
        print(f"{facts['processor']}, {facts['cores']} cores, {facts['instructions']}")
        print(f"load of the machine at the start {os.getloadavg()[0]:.1f}", flush=True)
        for peer in self.peers.values():
            peer.send("prepare", phases=phases)
        for name, peer in list(self.peers.items()):
            try:
                self.answers[name] = peer.receive()
                print(f"{name}: {self.answers[name]['described']}", flush=True)
            except UserError as refusal:
                if name != "bf16":
                    raise
                self.absent[name] = str(refusal)
                self.peers.pop(name).close()

    def seconds(self, name, task, steps=0):
        """What `task` takes a peer, for an epoch over all of SST-2.

        The mean step of each length times the batches of that length, and what is outside the steps in
        proportion; None for a peer that is set aside.
        """
        if name in self.absent:
            return None
        answer = self.peers[name].ask("run", task=task, steps=steps)
        counts, by_length = self.answers[name]["counts"], {}
        for length, seconds in answer["steps"]:
            by_length.setdefault(length, []).append(seconds)
        if set(counts) - set(by_length):
            raise UserError("a length is not among the rows that were timed; give more --rows")
        within = sum(count * statistics.mean(by_length[length]) for length, count in counts.items())
        return within + answer["rest"] * sum(counts.values()) / len(answer["steps"])

    def steps(self):
        """Steps of an epoch over all of SST-2."""
        return sum(self.answers[ORIGINAL]["counts"].values())

    def compiling(self, name):
        """Seconds that a peer compiled for."""
        return sum(self.answers[name]["compile"].values()) if name in self.answers else 0.0

    def memory(self, name):
        """Peak of the anonymous memory of a peer so far, in GB."""
        return self.peers[name].memory if name in self.peers else 0.0


def write_teacher(preset, folder):
    """A model folder of random weights, made by a process that leaves no library loaded here."""
    code = (
        "import sys; from src.stages.random_model import random_arrays, random_config; "
        "from src.infer.huggingface import write_directory; config = random_config(sys.argv[1]); "
        "write_directory(sys.argv[2], random_arrays(config), config)"
    )
    command = [sys.executable, "-c", code, preset, folder]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"no teacher could be made ({last_line(done.stderr)})")
