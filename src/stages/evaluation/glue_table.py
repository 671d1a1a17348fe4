"""One table over tasks: what student and int8 file keep of the teacher, from results written before."""

from pathlib import Path

from ...errors import UserError
from ...files import read_json, write_json, write_text
from ...metrics import METRICS, share_of
from ...tasks import TASKS
from ..markdown import aligned

MODELS = ("teacher", "student", "int8")
MEANS = ("acc_and_f1", "corr")  # of two metrics that have rows of their own
RESULTS = "evaluation/{model}/eval_results.json"
COLUMNS = ("task", "metric", *MODELS, "student kept", "int8 kept")
NONE = "-"


def glue_table(config):
    """Print the table of a GlueTableConfig, write table.md and table.json, and return its rows.

    A task without all its evaluations has a dash in their place. Raises UserError where there is none at all.
    """
    folder = Path(config.output_dir)
    rows = [row for task in TASKS.values() for row in _rows(task, folder / task.name)]
    if not rows:
        raise UserError(
            f"{folder} holds no evaluation ({RESULTS.format(model=MODELS[0])} of a task); "
            "scripts/run_glue.sh makes them"
        )
    table = aligned([list(COLUMNS), *map(_cells, rows)], words=2)
    print(table)
    write_json(folder / "table.json", rows)
    write_text(folder / "table.md", table + "\n")
    return rows


def _rows(task, folder):
    """A row for each metric of a task; of MNLI one for each dev set too, the second with the ending -mm."""
    files = {model: folder / RESULTS.format(model=model) for model in MODELS}
    found = {model: read_json(file) for model, file in files.items() if file.is_file()}
    keys = [key for key in next(iter(found.values()), {}) if _metric(key) in METRICS]
    several = any(key.endswith("_mm") for key in keys)
    for key in keys:
        if _metric(key) in MEANS:
            continue
        name = f"{task.name}-{'mm' if key.endswith('_mm') else 'm'}" if several else task.name
        values = {model: found[model].get(key) if model in found else None for model in MODELS}
        yield {
            "task": name,
            "metric": _metric(key),
            **values,
            **{f"{model}_kept": share_of(values[model], values["teacher"]) for model in MODELS[1:]},
        }


def _metric(key):
    return key.removeprefix("eval_").removesuffix("_mm")


def _cells(row):
    numbers = [NONE if row[model] is None else f"{row[model]:.4f}" for model in MODELS]
    shares = [row[f"{model}_kept"] for model in MODELS[1:]]
    return [
        row["task"],
        row["metric"].replace("_", " "),
        *numbers,
        *(NONE if share is None else f"{share:.1%}" for share in shares),
    ]
