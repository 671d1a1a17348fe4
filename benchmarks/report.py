"""Rows of a comparison with PyTorch: as a table, as JSON, as a plot.

python -m benchmarks.report A.json B.json --plot F.png draws the rows of several runs together.
"""

import argparse
import os
import statistics

from matplotlib.figure import Figure

from src.errors import run_main
from src.files import atomic_path, read_json, write_json

# The largest time over that of PyTorch's original that this project wants.
AIMS = {
    "step_fp32": 0.95,
    "step_bf16": 0.45,
    "epoch_first_fp32": 0.30,
    "epoch_later_fp32": 0.09,
    "epoch_later_bf16": 0.06,
    "phase2_fp32": 0.09,
    "recipe_fp32": 0.10,
    "recipe_bf16": 0.06,
}
ROW_HEIGHT, WIDTH = 0.45, 7.0  # inches


def row_of(name, ours, original, easy, memory):
    """One row from seconds by round: median of the ratios, lowest and highest.

    `easy` are seconds of the best that is easy in PyTorch, `memory` is in GB: (ours, original's).
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


def absent_row(name, reason):
    """The row of what this machine cannot run."""
    return {"name": name, "ratio": None, "low": None, "high": None, "reason": reason}


def print_rows(rows):
    """The table for people."""
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


def publish(rows, flags, **more):
    """Print the rows; write --json and --plot where they are given. `more` goes into the JSON too."""
    print_rows(rows)
    print(f"load of the machine at the end {os.getloadavg()[0]:.1f}; a ratio needs a quiet one")
    if flags.json:
        write_json(flags.json, {"rows": rows, **more})
    if flags.plot:
        plot_rows(rows, flags.plot)


def plot_rows(rows, path):
    """Draw each ratio with its spread and its aim. `path` is a .png, written atomically."""
    shown = [row for row in rows if row["ratio"] is not None][::-1]
    figure = Figure(figsize=(WIDTH, 1.2 + ROW_HEIGHT * len(shown)), layout="constrained")
    axis = figure.subplots()
    for place, row in enumerate(shown):
        axis.plot([row["low"], row["high"]], [place, place], color="black", linewidth=1)
        axis.plot(row["ratio"], place, "o", color="black", label="this project")
        axis.plot(AIMS[row["name"]], place, "|", color="black", markersize=14, label="aim")
        easy = row["seconds_easy"] / row["seconds_original"]
        axis.plot(easy, place, "x", color="gray", label="PyTorch, easy")
    axis.axvline(1.0, color="gray", linewidth=1, linestyle=":")
    axis.set_xscale("log")
    axis.set_xticks([0.05, 0.1, 0.2, 0.5, 1.0], labels=["0.05", "0.1", "0.2", "0.5", "1"])
    axis.set_xticks([], minor=True)
    axis.set_yticks(range(len(shown)), labels=[row["name"] for row in shown])
    axis.set(xlabel="time / time of the original in PyTorch")
    axis.grid(alpha=0.3)
    handles, labels = axis.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside upper center", ncols=len(once), fontsize="small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def main(argv=None):
    """Join the rows of several JSON files in one table and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", help="what the benchmarks wrote by --json")
    parser.add_argument("--plot", required=True, help="the picture to write")
    flags = parser.parse_args(argv)
    rows = [row for file in flags.files for row in read_json(file)["rows"]]
    print_rows(rows)
    plot_rows(rows, flags.plot)


if __name__ == "__main__":
    run_main(main)
