"""Loss curves from the metrics logs (losses.jsonl) of the training stages."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ...errors import UserError
from ...files import atomic_path

LOG_FILE = "losses.jsonl"
PANEL = (4.2, 3.2)  # inches
Entry = dict[str, Any]


def read_log(path: Path) -> list[Entry]:
    """The entries of a metrics log, in order. A last line cut off by a kill is skipped."""
    lines = path.read_text(encoding="utf-8").splitlines()
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < len(lines):
                raise UserError(f"{path}, line {number}: not valid JSON ({error.msg})") from None
    return [entry for entry in entries if "loss" in entry]


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
