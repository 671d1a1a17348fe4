"""One table over the GLUE tasks: what student and int8 file retain of the teacher, from saved results."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UserError
from ...files import write_json, write_text
from ...json_reader import read_object
from ...metrics import METRICS, share_of
from ...tasks import TASKS, TaskSpec
from ..markdown import aligned

if TYPE_CHECKING:
    from ...tools.glue_table import GlueTableConfig

MODELS = ("teacher", "student", "int8")
MEANS = ("acc_and_f1", "corr")  # of two metrics that have rows of their own
RESULTS = "evaluation/{model}/eval_results.json"
COLUMNS = ("task", "metric", *MODELS, "student kept", "int8 kept")
MISSING = "-"


def glue_table(config: GlueTableConfig) -> list[dict[str, Any]]:
    """Print the table of a GlueTableConfig, write table.md and table.json, and return its rows.

    Missing evaluations of a task are shown as dashes. Raises UserError when there is no evaluation at all.
    """
    folder = Path(config.output_dir)
    rows = [row for task in TASKS.values() for row in _rows(task, folder / task.name)]
    if not rows:
        raise UserError(
            f"{folder} contains no evaluation ({RESULTS.format(model=MODELS[0])} of a task); "
            "scripts/run_glue.sh writes them"
        )
    table = aligned([list(COLUMNS), *map(_cells, rows)], text_columns=2)
    print(table)
    write_json(folder / "table.json", rows)
    write_text(folder / "table.md", table + "\n")
    return rows


def _rows(task: TaskSpec, folder: Path) -> Iterator[dict[str, Any]]:
    """One row per metric; for MNLI per dev set too, with the suffixes -m and -mm."""
    files = {model: folder / RESULTS.format(model=model) for model in MODELS}
    results = {model: read_object(file, {str: Real}) for model, file in files.items() if file.is_file()}
    keys = [key for key in next(iter(results.values()), {}) if _metric(key) in METRICS]
    several = any(key.endswith("_mm") for key in keys)
    for key in keys:
        if _metric(key) in MEANS:
            continue
        name = f"{task.name}-{'mm' if key.endswith('_mm') else 'm'}" if several else task.name
        values = {model: results[model].get(key) if model in results else None for model in MODELS}
        yield {
            "task": name,
            "metric": _metric(key),
            **values,
            **{f"{model}_kept": share_of(values[model], values["teacher"]) for model in MODELS[1:]},
        }


def _metric(key: str) -> str:
    return key.removeprefix("eval_").removesuffix("_mm")


def _cells(row: dict[str, Any]) -> list[str]:
    values = [MISSING if row[model] is None else f"{row[model]:.4f}" for model in MODELS]
    shares = [row[f"{model}_kept"] for model in MODELS[1:]]
    return [
        row["task"],
        row["metric"].replace("_", " "),
        *values,
        *(MISSING if share is None else f"{share:.1%}" for share in shares),
    ]
