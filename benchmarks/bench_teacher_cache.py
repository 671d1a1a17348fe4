"""python -m benchmarks.bench_teacher_cache: an epoch that reads the teacher cache against one without it.

The peer has the teacher in every step of phase 1. Both train a 3L-312 student on the same batches, epoch by
epoch in turn, in one process; all graphs are compiled and warm before. The epoch that writes the cache is
timed once, and its ratio printed too. The teacher has the size of MiniLM (6 x 384) and random weights, the
rows have the lengths of short sentences: only time counts. A ratio holds for the machine it was measured on,
and for a machine that does nothing else.
"""

import argparse
import json
import statistics
import tempfile
import time

from src.errors import run_main


def main(argv=None):
    """Measure and print; --json also writes {"rows": [{"name", "ratio", "low", "high"}]}."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1600, help="rows of an epoch")
    parser.add_argument("--batch_size", type=int, default=32, help="rows a step")
    parser.add_argument("--repeats", type=int, default=5, help="timed epochs of each")
    parser.add_argument("--layers", type=int, default=6, help="layers of the teacher, a multiple of 3")
    parser.add_argument("--hidden", type=int, default=384, help="width of the teacher, a multiple of 12")
    parser.add_argument("--buckets", type=int, default=2, help="lengths to pad to, at the most")
    parser.add_argument("--json", default="", help="file for the figures")
    flags = parser.parse_args(argv)
    from src.infer.machine import describe_machine

    facts = describe_machine()
    print(f"{facts['processor']}, {facts['cores']} cores, {facts['instructions']}, {facts['environment']}")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(flags, folder)
    if flags.json:
        with open(flags.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows}, file, indent=2)


def measure(flags, folder):
    """Time epochs in turn; prints and returns the rows of the first epoch and of later ones."""
    from benchmarks.teacher_cache_pair import Pair

    pair = Pair(flags, folder)
    print(f"{pair.described}", flush=True)
    pair.compile()
    first = timed(pair.writing) / timed(pair.without)
    times = [(timed(pair.reading), timed(pair.without)) for _ in range(flags.repeats)]
    ratios = [cached / plain for cached, plain in times]
    low, ratio, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    seconds = [statistics.median(column) for column in zip(*times, strict=True)]
    print(f"first epoch, which writes the cache {first:6.2f} (one epoch of each)")
    print(f"later epochs, which read it         {ratio:6.2f} ({low:.2f} to {high:.2f})")
    print(f"cached {seconds[0]:.2f} s, teacher in every step {seconds[1]:.2f} s, of the last cached epoch "
          f"{100 * pair.waited / times[-1][0]:.2f} % was waiting", flush=True)
    return [{"name": "teacher_cache_first_epoch", "ratio": first, "low": first, "high": first},
            {"name": "teacher_cache_later_epochs", "ratio": ratio, "low": low, "high": high}]


def timed(call):
    """Seconds of a call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    run_main(main)
