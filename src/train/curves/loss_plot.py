"""Loss curves from the metrics logs (losses.jsonl) of the training stages."""

from numbers import Real
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ...files import atomic_path
from ...json_reader import read_json_lines

LOG_FILE = "losses.jsonl"
PANEL = (4.2, 3.2)  # inches
Entry = dict[str, Any]
PLOTTED = {"loss", "step", "title"}
ENTRY = {"loss?": Real, "step?": int, "title?": str, "parts?": {str: (Real, None)}}  # for json_reader


def read_log(path: Path) -> list[Entry]:
    """The entries of a metrics log, in order. A last line cut off by a kill is skipped."""
    return [entry for entry in read_json_lines(path, ENTRY) if PLOTTED <= set(entry)]


def panels_of(logs: dict[str, list[Entry]]) -> dict[str, list[Entry]]:
    """{title: entries}: one panel for each phase of each model, whose name may be empty."""
    panels: dict[str, list[Entry]] = {}
    for name, entries in logs.items():
        for entry in entries:
            panels.setdefault(", ".join(filter(None, (name, entry["title"]))), []).append(entry)
    return panels


def plot_losses(logs: dict[str, list[Entry]], path: Path) -> None:
    """Draw the losses and their parts over the steps.

    logs {model name: entries of its log}; path a .png, written atomically. Does nothing without entries.
    """
    panels = panels_of(logs)
    if not panels:
        return
    figure = Figure(figsize=(PANEL[0] * len(panels), PANEL[1]), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, entries) in zip(axes, panels.items(), strict=True):
        steps = [entry["step"] for entry in entries]
        axis.plot(steps, [entry["loss"] for entry in entries], color="black", label="loss")
        for part in parts_of(entries):
            axis.plot(steps, [entry["parts"].get(part) for entry in entries], linewidth=1, label=part)
        axis.set(xlabel="step", ylim=(0, None))
        axis.set_title(title, fontsize="medium")
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def parts_of(entries: list[Entry]) -> list[str]:
    """Names of the parts of the loss; none where the only part is the loss itself."""
    names = list(dict.fromkeys(name for entry in entries for name in entry.get("parts", {})))
    return names if len(names) > 1 else []
