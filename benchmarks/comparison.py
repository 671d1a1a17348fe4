"""This project and PyTorch at the same work on the same machine, each in a process of its own, in turn."""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.processes import Peer, last_line
from src.errors import UserError
from src.machine import describe_machine

ORIGINAL = "original"
WARM_UP, QUICK_WARM_UP = 7, 3  # steps of each graph before any is timed
STUDENT, BATCH, DROPOUT = "4L-312", 32, 0.1
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
# What a PyTorch user can do in a line or two: products in bfloat16, Adam in one kernel, a compiled model.
PLAIN = {"products": "fp32", "compiled": False, "fused": False}
EASY = {
    "autocast": {"products": "autocast", "compiled": False, "fused": True},
    "medium": {"products": "medium", "compiled": False, "fused": True},
    "compiled": {"products": "autocast", "compiled": True, "fused": True},
}


def parser_of(text, plot=True):
    """The flags that the benchmarks share; --plot where there is something to draw."""
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rows, steps and rounds: under five minutes")
    parser.add_argument("--rounds", type=int, default=0, help="rounds in which all take their turn")
    parser.add_argument("--rows", type=int, default=0, help="rows of the slice of SST-2")
    parser.add_argument("--data_dir", default="", help="records of SST-2 (default: its lengths)")
    parser.add_argument("--teacher", default="bert-base", help="preset of the random teacher")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each process")
    parser.add_argument("--json", default="", help="file for the figures")
    if plot:
        parser.add_argument("--plot", default="", help="file for a picture of them")
    return parser


class Comparison:
    """Peers by name, each in a process. Used as a context: they end with it.

    `absent` {name: why} are those that this machine cannot run.
    """

    def __init__(self, flags):
        self.flags, self.peers, self.absent, self.answers = flags, {}, {}, {}
        self._folder = tempfile.TemporaryDirectory()
        teacher = f"{self._folder.name}/teacher"
        write_teacher(flags.teacher, teacher)
        self._shared = {"teacher": teacher, "student": STUDENT}
        self._shared.update(data_dir=flags.data_dir, rows=flags.rows)

    def add_product(self, name, **flags):
        """This project's task distillation, with more of its flags."""
        options = {**self._shared, "folder": f"{self._folder.name}/{name}-output"}
        options["flags"] = {"batch_size": BATCH, **flags}
        self._start(name, "benchmarks.product_subject:Product", options, {"GLOG_v": "3"})

    def add_pytorch(self, name, **options):
        """TinyBERT in PyTorch; `options` are those of PyTorch."""
        options = {**self._shared, "batch_size": BATCH, **options}
        self._start(name, "benchmarks.pytorch_subject:PyTorch", options, {})

    def _start(self, name, subject, options, environment):
        threads = {"OMP_NUM_THREADS": str(self.flags.threads), "OMP_WAIT_POLICY": "passive"}
        self.peers[name] = Peer(name, subject, options, threads | environment, self._folder.name)

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
        warm_up = QUICK_WARM_UP if self.flags.quick else WARM_UP
        for peer in self.peers.values():
            peer.send("prepare", phases=phases, warm_up=warm_up)
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
        return sum(next(iter(self.answers.values()))["counts"].values())

    def compiling(self, name):
        """Seconds that a peer compiled for."""
        return sum(self.answers[name]["compile"].values()) if name in self.answers else 0.0

    def memory(self, name):
        """Peak of the anonymous memory of a peer so far, in GB."""
        return self.peers[name].memory if name in self.peers else 0.0


def against_pytorch(flags, easy, by_length, dropout, product_flags):
    """A Comparison of this project in both precisions with the original and with `easy`, names of EASY.

    `by_length` sorts the batches of the easy ways; `dropout` is the student's in PyTorch.
    """
    if not all(map(importlib.util.find_spec, ("torch", "transformers"))):
        raise UserError("the peer needs PyTorch: pip install -r requirements-dev.txt")
    peers = Comparison(flags)
    peers.add_pytorch(ORIGINAL, by_length=False, dropout=dropout, **PLAIN)
    for name in easy:
        peers.add_pytorch(name, by_length=by_length, dropout=dropout, **EASY[name])
    for precision in ("fp32", "bf16"):
        peers.add_product(precision, matmul_precision=precision, **product_flags)
    return peers


def write_teacher(preset, folder):
    """A model folder of random weights, made by a process that leaves no library loaded here."""
    code = (
        "import sys; from src.stages.evaluation.random_model import random_arrays, random_config; "
        "from src.weights.huggingface import write_directory; config = random_config(sys.argv[1]); "
        "write_directory(sys.argv[2], random_arrays(config), config)"
    )
    command = [sys.executable, "-c", code, preset, folder]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"no teacher could be made ({last_line(done.stderr)})")
