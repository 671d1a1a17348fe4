"""Which candidate is recommended, by numbers made by hand; the halves of dev; the journal."""

import dataclasses

import numpy as np
import pytest

from src.data.dataset import TokenizedDataset
from src.errors import UserError
from src.stages.compress.report_data import CandidateResult, Limits, Rows, TaskFacts, Within
from src.stages.compress.selection.limits import closest, recommend, within
from src.stages.compress.selection.verdict import few_rows, verdict
from src.stages.compress.steps.journal import Journal
from src.stages.compress.steps.rows import split_halves

LIMITS = Limits(1.0, 5.0, 20.0, None, 60.0, "speed", True, 1)
TASK = TaskFacts("rows", "accuracy", "classification", ["0", "1"], Rows(100, 0, 436, 436))


def result(name="half-int8", ms=4.0, mb=10.0, difference=0.0, low=-0.005, held=None, chosen=0.0, **more):
    """A candidate of these figures; `held` are its limits on quality, latency and size."""
    return CandidateResult(
        name, "how", "int8", 3, 32, 48, 100, 0.9, 0.9, chosen, [0.88, 0.92], difference, [low, 0.01], 1.0,
        0.01, 0.99, [0.975, 1.0], ms, 2.0, mb, 4.0, within=Within(*held) if held else None, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    "changes, limits, expected",
    [
        ({}, {}, (True, True, True)),
        ({"low": -0.0101}, {}, (False, True, True)),
        ({"low": -0.01}, {}, (True, True, True)),
        ({"low": -0.02}, {"strict": False}, (True, True, True)),
        ({"difference": -0.011}, {"strict": False}, (False, True, True)),
        ({"low": -0.5}, {"max_drop": None}, (True, True, True)),
        ({"ms": 5.1}, {}, (True, False, True)),
        ({"mb": 20.1}, {}, (True, True, False)),
        ({"ms": 99, "mb": 99}, {"max_latency_ms": None, "max_size_mb": None}, (True, True, True)),
        ({}, {"min_agreement": 0.975}, (True, True, True)),
        ({}, {"min_agreement": 0.98}, (False, True, True)),
        ({}, {"min_agreement": 0.98, "strict": False}, (True, True, True)),
    ],
)
def test_limits(changes, limits, expected):
    """The lower end of an interval decides, or the measured value where that is not asked for."""
    held = within(result(**changes), dataclasses.replace(LIMITS, **limits))
    assert dataclasses.astuple(held) == expected


def test_the_choosing_rows_have_to_hold_the_limit_too():
    assert not within(result(chosen=-0.015), LIMITS).quality
    assert within(result(chosen=0.03), LIMITS).quality


ALL, NONE = (True, True, True), (False, False, False)
MODEL = result("model-fp32", 1.0, 1.0, held=ALL)


def test_the_fastest_within_all_limits_is_recommended():
    results = [
        MODEL,
        result("slow", 4.0, 10.0, held=ALL),
        result("fast", 2.0, 12.0, held=ALL),
        result("as fast but smaller", 2.09, 11.0, held=ALL),
        result("faster", 1.0, 1.0, held=(False, True, True)),
    ]
    assert recommend(results, "speed").name == "as fast but smaller"
    assert recommend(results, "size").name == "slow"
    results[1] = result("slow", held=ALL, failed="it broke")
    assert recommend(results, "size").name == "as fast but smaller"
    assert recommend([MODEL, results[4]], "speed") is None


def test_the_closest_breaks_the_fewest_limits():
    results = [
        MODEL,
        result("two", held=(True, False, False)),
        result("worse", held=(False, True, True), **{}),
        dataclasses.replace(result("better", held=(False, True, True)), metric=0.95),
        result("broken", held=None, failed="it broke"),
    ]
    assert closest(results, LIMITS).name == "better"
    assert closest([MODEL], LIMITS) is None
    results = [
        MODEL,
        result("large", mb=90.0, held=(True, True, False)),
        result("nearly", mb=21.0, held=(True, True, False)),
    ]
    results[1] = dataclasses.replace(results[1], metric=0.99)
    assert closest(results, LIMITS).name == "nearly"


def test_verdicts():
    good = result(held=ALL, difference=-0.004)
    text = verdict(TASK, LIMITS, MODEL, good, recommended=True)
    assert text == (
        "half-int8 (how) is recommended: 2.0× as fast and 4.0× smaller than the model in float32; its "
        "accuracy is 0.900, the model's 0.900 (−0.40 points over 436 rows; 95 %: −0.50 to +1.00). It is "
        "within all limits."
    )
    wide = result(held=(False, True, True), difference=-0.004, low=-0.03)
    text = verdict(TASK, LIMITS, MODEL, wide, recommended=False)
    assert "It breaks the limit on quality: the measured quality is within it, the lower end" in text
    agreement = dataclasses.replace(LIMITS, max_drop=None, min_agreement=0.98)
    same = dataclasses.replace(result(held=(False, True, True)), difference=None, choose_metric=0.99)
    text = verdict(TASK, agreement, MODEL, same, recommended=False)
    assert "the lower end of the interval is not; give more evaluation rows, a smaller --min_agree" in text
    same = dataclasses.replace(same, choose_metric=0.97)
    text = verdict(TASK, agreement, MODEL, same, recommended=False)
    assert text.endswith("the limit on quality: over the choosing rows the agreement is 97.0\xa0%.")
    both = dataclasses.replace(LIMITS, min_agreement=0.98)
    changed = dataclasses.replace(
        result(held=(False, True, True)), agreement=0.985, agreement_interval=[0.97, 1.0]
    )
    text = verdict(TASK, both, MODEL, changed, recommended=False)
    assert "a smaller --min_agreement" in text and "--max_drop" not in text
    chosen = dataclasses.replace(result(held=(False, True, True)), choose_difference=-0.03)
    text = verdict(TASK, LIMITS, MODEL, chosen, recommended=False)
    assert text.endswith("the limit on quality: over the choosing rows the difference is −3.00 points.")
    text = verdict(TASK, LIMITS, MODEL, result(held=(True, False, False)), recommended=False)
    assert text.endswith("It breaks the limit on latency and size.")


def test_few_rows_are_said():
    """Without any change Bonett and Price's interval is 1.96 sqrt(2) / (n + 2)."""
    few = dataclasses.replace(TASK, rows=Rows(100, 0, 100, 100))
    assert "100 reporting rows are few for --max_drop 1: even where no answer" in few_rows(few, LIMITS)
    assert "is −2.72 to +2.72 points" in few_rows(few, LIMITS)
    ten = dataclasses.replace(TASK, rows=Rows(100, 0, 10, 10))
    assert "even where no answer changes the interval of the difference is −23.10 to" in few_rows(ten, LIMITS)
    assert "where 5% of the answers change" in few_rows(TASK, LIMITS)
    # 11 of 436 rows each way: 1.96 sqrt(24 / 438 / 438).
    assert "is −2.19 to +2.19 points" in few_rows(TASK, LIMITS)
    assert few_rows(TASK, dataclasses.replace(LIMITS, max_drop=2.2)) is None
    assert few_rows(few, dataclasses.replace(LIMITS, strict=False)) is None
    # Clopper and Pearson's lower end without any change is 0.025 ** (1 / n).
    agreement = dataclasses.replace(LIMITS, max_drop=None, min_agreement=0.97)
    enough = [dataclasses.replace(TASK, rows=Rows(100, 0, n, n)) for n in (121, 122)]
    assert "begins at 0.9700; give" in few_rows(enough[0], agreement)
    assert few_rows(enough[1], agreement) is None


@pytest.mark.parametrize("classes", [2, 3])
def test_halves_are_stratified(classes):
    labels = np.random.default_rng(3).integers(0, classes, 101).astype(np.int32)
    dataset = TokenizedDataset.from_flat(np.ones(101), np.zeros(101), np.ones(101, int), labels, 8)
    one, other = split_halves(dataset, 1)
    assert sorted([*one, *other]) == list(range(101))
    for label in range(classes):
        assert abs(int((labels[one] == label).sum()) - int((labels[other] == label).sum())) <= 2
    again, _ = split_halves(dataset, 1)
    another, _ = split_halves(dataset, 2)
    assert list(one) == list(again) and list(one) != list(another)


def test_the_journal_knows_what_is_done(tmp_path):
    output = tmp_path / "model"
    output.mkdir()
    (output / "SHA256SUMS").write_text("one")
    journal = Journal(
        tmp_path / "journal.json", {"seed": 1, "strict": True, "labels": ("a",)}, {"rows": "d1"}
    )
    journal.begin("train", ["--seed=1"])
    assert journal.has_begun("train", ["--seed=1"]) and not journal.is_done("train", ["--seed=1"], output)
    journal.end("train", ["--seed=1"], 3.0, None, output)

    again = Journal(journal.path, {"seed": 1, "strict": False, "labels": ("a",)}, {"rows": "d1"})
    again.resume(["strict"], {})
    assert again.is_done("train", ["--seed=1"], output) and again.seconds == 3.0
    assert not again.is_done("train", ["--seed=2"], output)
    (output / "SHA256SUMS").write_text("another")
    assert not again.is_done("train", ["--seed=1"], output)
    for flags, inputs, words in (
        ({"seed": 2}, {}, "--resume: seed was 1 in the interrupted run and is 2 now"),
        ({"seed": 1}, {"rows": "d2"}, "--resume: rows has changed since the interrupted run"),
    ):
        with pytest.raises(UserError, match=words):
            Journal(journal.path, flags, inputs).resume((), {})
    # A run before this flag existed had its default.
    newer = {"seed": 1, "strict": True, "labels": ("a",), "prefer": "size"}
    with pytest.raises(UserError, match="prefer was 'speed' .* the flags of that run: --prefer speed"):
        Journal(journal.path, newer, {}).resume((), {"prefer": "speed"})
    Journal(journal.path, {**newer, "prefer": "speed"}, {}).resume((), {"prefer": "speed"})
