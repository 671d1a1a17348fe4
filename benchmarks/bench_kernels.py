"""python -m benchmarks.bench_kernels: C++ kernels against plain operators in one run, as ratios of time.

Each pair is called in turn, after seven calls to warm up; printed are the median ratio and its quartiles.
A ratio holds for the machine it was measured on, and for a machine that does nothing else.
"""

import argparse
import dataclasses
import json
import statistics
import time

from src.errors import run_main

WARM_UP = 7
ROWS = 32
TEACHER = {
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}


@dataclasses.dataclass(frozen=True)
class Pair:
    """One thing computed in both ways: `calls` are functions without arguments, kernels first."""

    name: str
    calls: tuple


def main(argv=None):
    """Measure and print; --json also writes {"rows": [{"name", "ratio", "low", "high"}]}."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 64], help="tokens a row")
    parser.add_argument("--repeats", type=int, default=20, help="timed calls of each")
    parser.add_argument("--only", default="", help="pairs whose name holds this")
    parser.add_argument("--json", default="", help="file for the figures")
    flags = parser.parse_args(argv)
    rows = []
    for length in flags.lengths:
        for name, make in pairs_at(length).items():
            if flags.only in name:
                rows.append(measure(Pair(name, make()), flags.repeats))
    if flags.json:
        with open(flags.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows}, file, indent=2)


def measure(pair, repeats):
    """Time a pair call by call in turn; prints and returns its row."""
    times = ([], [])
    for repeat in range(WARM_UP + repeats):
        for call, kept in zip(pair.calls, times, strict=True):
            begun = time.perf_counter()
            call()
            if repeat >= WARM_UP:
                kept.append(time.perf_counter() - begun)
    ratios = [kernel / plain for kernel, plain in zip(*times, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    milliseconds = [1000 * statistics.median(kept) for kept in times]
    print(
        f"{pair.name:<52} {ratio:5.2f}  ({low:.2f} to {high:.2f})  kernels {milliseconds[0]:8.2f} ms, "
        f"plain {milliseconds[1]:8.2f} ms",
        flush=True,
    )
    return {"name": pair.name, "ratio": ratio, "low": low, "high": high}


def pairs_at(length):
    """{name: function that makes the two calls} at a length."""
    from benchmarks import kernel_pairs

    parts = kernel_pairs.Parts(TEACHER, ROWS, length)
    named = {f"{name}, length {length}": make for name, make in parts.operators().items()}
    for dropout in (0.0, 0.1):
        title = f"distillation step, dropout {dropout:g}, length {length}"
        named[title] = lambda dropout=dropout: parts.steps(dropout)
    return named


if __name__ == "__main__":
    run_main(main)
