"""Results of one stage over several seeds: mean, standard deviation, best, paired differences to others."""

import math
import warnings
from collections.abc import Collection, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ...errors import UserError
from ...json_reader import check_structure, read_object
from ...metrics import AGREEMENT, agreement_task
from ...tasks import TaskSpec
from ..markdown import aligned

SPEEDS = {"examples_per_second": "examples/s", "tokens_per_second": "real tokens/s"}
SUMMARY = {"task": str, "metric": str, "seeds": {str: {"eval_samples": int}}}  # for json_reader
ROUNDING = 1e-9  # metric differences closer than this are equal: 0.31 - 0.3, 0.41 - 0.4
Result = dict[str, Any]


def measured_task(task: TaskSpec, metrics: Collection[str]) -> TaskSpec:
    """`task`, or its agreement_task where `metrics` (eval_...) are of that: no evaluation row has a label."""
    return agreement_task(task) if f"eval_{AGREEMENT}" in metrics else task


def summary(stage: str, task: TaskSpec, results: dict[int, Result]) -> Result:
    """The content of seeds.json from {seed: {eval_<metric>: value, ..., folder}}, in the order of the seeds.

    Sample standard deviation (n - 1); None for a single seed.
    """
    metric = f"eval_{measured_task(task, next(iter(results.values()))).best_metric}"
    # The deciding metric first; MNLI has each twice (_mm). A speed counts only where every run has it.
    columns_found = sorted(next(iter(results.values())), key=lambda name: name != metric)
    names = [name for name in columns_found if name.startswith("eval_") and "samples" not in name]
    names += [name for name in SPEEDS if all(name in each for each in results.values())]
    columns = {name: np.array([each[name] for each in results.values()]) for name in names}
    best = max(results, key=lambda seed: results[seed][metric])
    return {
        "stage": stage,
        "task": task.name,
        "metric": metric,
        "seeds": {str(seed): each for seed, each in results.items()},
        "mean": {name: float(values.mean()) for name, values in columns.items()},
        "standard_deviation": {name: _spread(values) for name, values in columns.items()},
        "best": {"seed": best, "value": results[best][metric], "folder": results[best]["folder"]},
    }


def _spread(values: np.ndarray) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def read_summary(file: Path) -> Result:
    """The content of a seeds.json. Raises UserError where it is missing or has another format."""
    values = read_object(file, SUMMARY, "give a folder written with --seeds")
    for seed, each in values["seeds"].items():
        check_structure(each, {values["metric"]: Real}, f"{file}: seeds.{seed}")
    return values


def check_comparable(other: Result, file: Path, task: TaskSpec, seeds: Sequence[int]) -> None:
    """Raise UserError where the runs in `file` cannot be paired with those of this task and seeds."""
    other_seeds, metric = other["seeds"], f"eval_{task.best_metric}"
    if (other["task"], other["metric"]) != (task.name, metric):
        raise UserError(
            f"--seeds_against: {file} is of {other['task']} ({other['metric']}), this run of {task.name} "
            f"({metric})"
        )
    missing = [str(seed) for seed in seeds if str(seed) not in other_seeds]
    if missing:
        raise UserError(
            f"--seeds_against: {file} has no seed {missing[0]} but {', '.join(other_seeds)}; run it over the "
            "same seeds"
        )


def paired(result: Result, other: Result, folder: Path | str) -> Result:
    """Differences of the deciding metric to the same seeds of `other`, with a paired t-test.

    Both are contents of seeds.json. t and p are None where there is nothing to test: one pair, or equal
    differences. Raises UserError where the numbers of evaluated rows differ.
    """
    metric, pairs = result["metric"], [(each, other["seeds"][seed]) for seed, each in result["seeds"].items()]
    for each, paired_with in pairs:
        if each["eval_samples"] != paired_with["eval_samples"]:
            raise UserError(
                f"--seeds_against: {folder} was evaluated on {paired_with['eval_samples']} rows, this run on "
                f"{each['eval_samples']}; give a folder evaluated on the same rows"
            )
    first, second = (np.array([pair[side][metric] for pair in pairs]) for side in (0, 1))
    differences = first - second
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's, where there is nothing to test
        t, p = (float(value) for value in stats.ttest_rel(first, second))
    tested = math.isfinite(t) and len(pairs) > 1 and np.ptp(differences) > ROUNDING
    return {
        "folder": str(folder),
        "differences": dict(zip(result["seeds"], differences.tolist(), strict=True)),
        "mean": float(differences.mean()),
        "standard_deviation": _spread(differences),
        "t": t if tested else None,
        "p": p if tested else None,
    }


def format_summary(result: Result) -> str:
    """The content of seeds.json as a table with a few lines below."""
    names = list(result["mean"])
    lines = [["seed", *(SPEEDS.get(name, name.removeprefix("eval_")) for name in names)]]
    for seed, each in result["seeds"].items():
        lines.append([seed, *(_number(name, each[name]) for name in names)])
    for title, key in (("mean", "mean"), ("standard deviation", "standard_deviation")):
        lines.append([title, *(_number(name, result[key][name]) for name in names)])
    best, count = result["best"], len(result["seeds"])
    rows = next(iter(result["seeds"].values()))["eval_samples"]
    text = (
        f"{aligned(lines)}\n\n{result['stage']} of {result['task']}, best/ of {count} "
        f"seed{'s' * (count > 1)} on {rows} rows; sample standard deviation\n"
        f"best seed: {best['seed']}, {best['folder']}"
    )
    return f"{text}\n{_format_comparison(result['against'])}" if "against" in result else text


def _format_comparison(against: Result) -> str:
    each = ", ".join(f"{value:+.4f}" for value in against["differences"].values())
    text = f"against {against['folder']}: {each}; mean difference {against['mean']:+.4f}"
    if against["standard_deviation"] is not None:
        text += f", standard deviation {against['standard_deviation']:.4f}"
    if against["t"] is None:
        return f"{text}; nothing to test (one pair, or equal differences)"
    return f"{text}; paired t-test: t = {against['t']:.3f}, p = {against['p']:.3g}"


def _number(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if name in SPEEDS else f"{value:.4f}"
