"""python -m benchmarks.bench_kernels: time ratios of the C++ kernels to plain operators.

The two versions of each pair run in turn, after seven untimed calls; prints the median ratio and its
quartiles. A ratio is only valid for the machine it was measured on, and only if that machine is idle.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

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
Calls = tuple[Callable[[], object], ...]  # one per version: with kernels, with plain operators


@dataclasses.dataclass(frozen=True)
class Pair:
    """The same computation in both versions: `calls` are functions without arguments, kernels first."""

    name: str
    calls: Calls


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; --json also writes {"rows": [{"name", "ratio", "low", "high"}]}."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 64], help="tokens per row")
    parser.add_argument("--repeats", type=int, default=20, help="timed calls of each version")
    parser.add_argument("--only", default="", help="run only the pairs whose name contains this text")
    parser.add_argument("--json", default="", help="output file for the results")
    flags = parser.parse_args(argv)
    rows = []
    for length in flags.lengths:
        for name, make_calls in pairs_at(length).items():
            if flags.only in name:
                rows.append(measure(Pair(name, make_calls()), flags.repeats))
    if flags.json:
        with open(flags.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows}, file, indent=2)


def measure(pair: Pair, repeats: int) -> dict[str, Any]:
    """Time both versions of a pair in turn; prints and returns its row."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for repeat in range(WARM_UP + repeats):
        for call, timed in zip(pair.calls, seconds, strict=True):
            began = time.perf_counter()
            call()
            if repeat >= WARM_UP:
                timed.append(time.perf_counter() - began)
    ratios = [kernel / plain for kernel, plain in zip(*seconds, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    milliseconds = [1000 * statistics.median(timed) for timed in seconds]
    print(
        f"{pair.name:<52} {ratio:5.2f}  ({low:.2f} to {high:.2f})  kernels {milliseconds[0]:8.2f} ms, "
        f"plain {milliseconds[1]:8.2f} ms",
        flush=True,
    )
    return {"name": pair.name, "ratio": ratio, "low": low, "high": high}


def pairs_at(length: int) -> dict[str, Callable[[], Calls]]:
    """Return {name: factory of the two calls} for rows of `length` tokens."""
    from benchmarks.kernel_pairs import KernelPairs

    pairs = KernelPairs(TEACHER, ROWS, length)
    factories = {f"{name}, length {length}": factory for name, factory in pairs.operators().items()}
    for dropout in (0.0, 0.1):
        name = f"distillation step, dropout {dropout:g}, length {length}"
        factories[name] = partial(pairs.steps, dropout)
    return factories


if __name__ == "__main__":
    run_main(main)
