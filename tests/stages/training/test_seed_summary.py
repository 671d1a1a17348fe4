"""The results of several seeds: order of the metrics, paired differences against Student's t."""

import math

import numpy as np
import pytest

from src.stages.training.seed_summary import paired, summary
from src.tasks import find_task


def test_the_deciding_metric_stands_first_and_mnli_s_second_set_beside_it():
    runs = {
        seed: {
            "eval_f1": 0.1,
            "eval_accuracy": value,
            "eval_samples": 9,
            "eval_accuracy_mm": 0.2,
            "eval_samples_mm": 4,
            "folder": "f",
        }
        for seed, value in ((3, 0.5), (1, 0.7))
    }
    found = summary("x", find_task("MNLI"), runs)
    assert list(found["mean"]) == ["eval_accuracy", "eval_f1", "eval_accuracy_mm"]
    assert list(found["seeds"]) == ["3", "1"] and found["best"]["seed"] == 1


def test_paired_differences_against_the_formula_of_student():
    task = find_task("CoLA")
    ours, theirs = ([0.31, 0.36, 0.33, 0.41], [0.28, 0.35, 0.25, 0.30])
    runs = [
        summary(
            "x",
            task,
            {
                s: {"eval_matthews_correlation": value, "eval_samples": 9, "folder": "f"}
                for s, value in enumerate(values)
            },
        )
        for values in (ours, theirs)
    ]
    found = paired(*runs, "other")
    differences = np.subtract(ours, theirs)
    t = differences.mean() / (differences.std(ddof=1) / math.sqrt(4))
    # The distribution of Student's t with 3 degrees of freedom in closed form.
    angle = math.atan(t / math.sqrt(3))
    p = 1 - 2 / math.pi * (angle + math.sin(angle) * math.cos(angle))
    assert (found["mean"], found["t"], found["p"]) == pytest.approx((differences.mean(), t, p))
    assert found["standard_deviation"] == pytest.approx(differences.std(ddof=1))
    same = paired(runs[0], runs[0], "itself")
    assert (same["mean"], same["t"], same["p"]) == (0, None, None)


def test_differences_that_are_equal_but_for_rounding_are_not_tested():
    """One row more of 872 with each seed: the last bits of the quotients differ."""
    ours, theirs = (
        {
            s: {"eval_accuracy": (rows + more) / 872, "eval_samples": 872, "folder": "f"}
            for s, rows in enumerate((700, 712, 731))
        }
        for more in (1, 0)
    )
    assert len({ours[s]["eval_accuracy"] - theirs[s]["eval_accuracy"] for s in ours}) > 1
    task = find_task("SST-2")
    found = paired(summary("x", task, ours), summary("x", task, theirs), "other")
    assert found["mean"] == pytest.approx(1 / 872) and (found["t"], found["p"]) == (None, None)
