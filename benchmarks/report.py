"""Prints, stores and plots the rows of a comparison with PyTorch.

python -m benchmarks.report A.json B.json --plot F.png plots the rows of several runs together.
"""

import argparse
import os
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from src.errors import run_main
from src.files import atomic_path, write_json
from src.json_reader import read_json

# The largest acceptable ratio of our time to that of the original in PyTorch.
AIMS = {
    "step_auto": 0.95,
    "step_fp32": 0.95,
    "step_bf16": 0.45,
    "epoch_first_auto": 0.30,
    "epoch_first_fp32": 0.30,
    "epoch_later_fp32": 0.09,
    "epoch_later_bf16": 0.06,
    "phase2_fp32": 0.09,
    "recipe_auto": 0.10,
    "recipe_fp32": 0.10,
    "recipe_bf16": 0.06,
}
ROW_HEIGHT, WIDTH = 0.45, 7.0  # inches


def row_of(
    name: str,
    ours: Sequence[float],
    original: Sequence[float],
    easy: Sequence[float],
    memory: tuple[float, float],
) -> dict[str, Any]:
    """Build a row from seconds by round: median, minimum and maximum of the ratios within a round.

    `easy` are the seconds of the fastest easy PyTorch variant; `memory` is (ours, original's) in GB.
    """
    ratios = [a / b for a, b in zip(ours, original, strict=True)]
    against_easy = [a / b for a, b in zip(ours, easy, strict=True)]
    seconds = (statistics.median(times) for times in (ours, original, easy))
    return {
        "name": name,
        "ratio": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "reason": None,
        "against_easy": statistics.median(against_easy),
        **dict(zip(("seconds", "seconds_original", "seconds_easy"), seconds, strict=True)),
        **dict(zip(("memory_gb", "memory_gb_original"), memory, strict=True)),
    }


def unavailable_row(name: str, reason: str) -> dict[str, Any]:
    """Build the row of a comparison that this machine cannot run."""
    return {"name": name, "ratio": None, "low": None, "high": None, "reason": reason}


def print_rows(rows: Iterable[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    print(f"{'':<18}{'ratio':>6}  {'lowest to highest':<18}{'aim':>5}{'ours s':>10}{'original s':>12}"
          f"{'easy s':>10}{'to easy':>9}{'GB':>6}{'original GB':>13}")  # fmt: skip
    for row in rows:
        if row["ratio"] is None:
            print(f"{row['name']:<18}  not run: {row['reason']}")
            continue
        spread = f"({row['low']:.3f} to {row['high']:.3f})"
        print(f"{row['name']:<18}{row['ratio']:6.3f}  {spread:<18}{AIMS[row['name']]:5.2f}"
              f"{row['seconds']:10.2f}{row['seconds_original']:12.2f}{row['seconds_easy']:10.2f}{row['against_easy']:9.3f}"
              f"{row['memory_gb']:6.2f}{row['memory_gb_original']:13.2f}", flush=True)  # fmt: skip


def publish(rows: Sequence[dict[str, Any]], flags: argparse.Namespace, **extra: Any) -> None:
    """Print the rows and write --json and --plot if given. `extra` is added to the JSON."""
    print_rows(rows)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}; ratios are only valid on an idle machine")
    if flags.json:
        write_json(flags.json, {"rows": rows, **extra})
    if flags.plot:
        plot_rows(rows, flags.plot)


def plot_rows(rows: Sequence[dict[str, Any]], path: str | Path) -> None:
    """Plot each ratio with its range and its aim to the .png file `path`, written atomically."""
    shown = [row for row in rows if row["ratio"] is not None][::-1]
    figure = Figure(figsize=(WIDTH, 1.2 + ROW_HEIGHT * len(shown)), layout="constrained")
    axis = figure.subplots()
    for y, row in enumerate(shown):
        axis.plot([row["low"], row["high"]], [y, y], color="black", linewidth=1)
        axis.plot(row["ratio"], y, "o", color="black", label="this project")
        axis.plot(AIMS[row["name"]], y, "|", color="black", markersize=14, label="aim")
        easy = row["seconds_easy"] / row["seconds_original"]
        axis.plot(easy, y, "x", color="gray", label="PyTorch, easy")
    axis.axvline(1.0, color="gray", linewidth=1, linestyle=":")
    axis.set_xscale("log")
    axis.set_xticks([0.05, 0.1, 0.2, 0.5, 1.0], labels=["0.05", "0.1", "0.2", "0.5", "1"])
    axis.set_xticks([], minor=True)
    axis.set_yticks(range(len(shown)), labels=[row["name"] for row in shown])
    axis.set(xlabel="time / time of the original in PyTorch")
    axis.grid(alpha=0.3)
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(
        unique.values(), unique.keys(), loc="outside upper center", ncols=len(unique), fontsize="small"
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def main(argv: Sequence[str] | None = None) -> None:
    """Combine the rows of several JSON files in one table and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="JSON files written by the benchmarks")
    parser.add_argument("--plot", required=True, help="output file for the plot (.png)")
    flags = parser.parse_args(argv)
    rows = [row for file in flags.files for row in read_json(file)["rows"]]
    print_rows(rows)
    plot_rows(rows, flags.plot)


if __name__ == "__main__":
    run_main(main)
