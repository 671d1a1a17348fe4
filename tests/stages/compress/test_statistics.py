"""Intervals, tests and resampled metrics against SciPy, scikit-learn, METRICS and published examples."""

import dataclasses

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from src.errors import UserError
from src.metrics import METRICS, task_metrics
from src.stages.compress import predictions, statistics
from src.stages.evaluation import bootstrap, intervals
from src.tasks import TASKS, TaskSpec

ROWS = 150
TAGS = TASKS["sample-ner"]


def of_classes(count, seed=1, noise=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, count, ROWS)
    before = rng.normal(size=(ROWS, count)) + 2 * np.eye(count)[labels]
    return before, before + noise * rng.normal(size=before.shape), labels


def of_tags(seed=1):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 9, 40)
    labels = [np.where(rng.random(n) < 0.2, -100, rng.integers(0, len(TAGS.labels), n)) for n in lengths]
    before = [rng.normal(size=(n, len(TAGS.labels))) for n in lengths]
    for logits, true in zip(before, labels, strict=True):
        logits[np.arange(len(true)), np.maximum(true, 0)] += 2
    return before, [logits + rng.normal(size=logits.shape) for logits in before], labels


def of_label_sets(seed=1):
    rng = np.random.default_rng(seed)
    labels = (rng.random((ROWS, 4)) < [0.5, 0.3, 0.1, 0.0]).astype(np.float32)
    before = rng.normal(size=(ROWS, 4)) + 3 * labels - 2
    return before, before + rng.normal(size=before.shape), labels


def of_scores(seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.uniform(0, 5, ROWS)
    before = (labels + rng.normal(size=ROWS))[:, None]
    return before, before + 0.3 * rng.normal(size=before.shape), labels


THREE = TaskSpec("three", ("text",), labels=("a", "b", "c"))
SETS = TaskSpec("sets", ("text",), labels=("a", "b", "c", "d"), output_mode="multi_label")
DATA = {"MRPC": of_classes(2), "three": of_classes(3), "sets": of_label_sets(), "STS-B": of_scores()}
SPECS = {"MRPC": TASKS["MRPC"], "three": THREE, "sets": SETS, "STS-B": TASKS["STS-B"], "tags": TAGS}
DATA["tags"] = of_tags()
NAMES = {
    "MRPC": ("accuracy", "f1", "acc_and_f1", "matthews_correlation"),
    "three": ("accuracy", "f1_macro", "f1_micro", "matthews_correlation"),
    "sets": ("subset_accuracy", "f1_macro", "f1_micro"),
    "STS-B": ("pearson", "spearmanr", "corr"),
    "tags": tuple(name for name in METRICS if name.startswith(("entity", "token"))),
}
CASES = [(task, name) for task, names in NAMES.items() for name in names]


def with_metric(task, name):
    return dataclasses.replace(task, metrics=(name,), best_metric=name)


def rows_of(values, index):
    return [values[i] for i in index] if isinstance(values, list) else values[index]


def test_every_metric_has_a_resampled_form():
    assert {name for _, name in CASES} == set(METRICS)


@pytest.mark.parametrize("task, name", CASES)
def test_resampled_metrics_are_those_of_metrics(task, name):
    before, _, labels = DATA[task]
    index = np.random.default_rng(5).integers(0, len(labels), (5, len(labels)))
    index[0] = np.arange(len(labels))
    index[1] = 0  # one row alone, so that a label or a variance is missing
    task = with_metric(SPECS[task], name)
    expected = [task_metrics(task, rows_of(before, i), rows_of(labels, i))[f"eval_{name}"] for i in index]
    statistic = bootstrap.metric_statistic(task, name, before, labels)
    np.testing.assert_allclose(statistic(index), expected, atol=1e-12)
    assert statistic(index[2]) == pytest.approx(expected[2], abs=1e-12)


@pytest.mark.parametrize("name", ["f1", "matthews_correlation"])
def test_interval_is_the_percentiles_of_metrics_over_resampled_rows(name):
    task, (before, after, labels) = with_metric(TASKS["MRPC"], name), of_classes(2)
    rng = np.random.default_rng(11)
    values = []
    for _ in range(250):
        index = rng.integers(0, ROWS, ROWS)
        old, new = (METRICS[name](logits[index].argmax(1), labels[index]) for logits in (before, after))
        values.append((new, new - old))
    expected = np.percentile(values, [2.5, 97.5], axis=0)
    _, interval = intervals.metric_interval(task, after, labels)
    _, difference = statistics.paired_difference(task, before, after, labels)
    spread = expected[1] - expected[0]
    np.testing.assert_allclose(np.transpose([interval, difference]), expected, atol=0.25 * spread.max())


def test_interval_of_a_mean_is_near_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap.interval(lambda index: values[index].mean(-1), 400)
    error = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.015)


def test_interval_depends_on_the_seed_alone():
    task, (before, _, labels) = with_metric(THREE, "f1_macro"), of_classes(3)
    first, again, other = (intervals.metric_interval(task, before, labels, seed) for seed in (0, 0, 1))
    assert first == again != other


def test_published_intervals_of_shares():
    # 13 of 16: Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables, chapter 2.
    assert intervals.exact_interval(13, 16) == pytest.approx((0.5435, 0.9595), abs=5e-5)
    assert intervals.wilson_interval(13, 16) == pytest.approx((0.5699, 0.9341), abs=5e-5)
    assert intervals.exact_interval(436, 436) == (pytest.approx(0.025 ** (1 / 436)), 1.0)


def answers(both, first, second, neither):
    """Whether each of two models has a row right, from the counts of the four cases."""
    before = np.repeat([True, True, False, False], (both, first, second, neither))
    return before, np.repeat([True, False, True, False], (both, first, second, neither))


# Bentur et al. 2009 and Cavo et al. 2012, as analyzed by Fagerland, Lydersen and Laake 2014.
@pytest.mark.parametrize(
    "table, p, interval",
    [((1, 1, 7, 12), 0.0703, (0.0134, 0.5084)), ((59, 6, 16, 80), 0.052479, (0.0032, 0.1195))],
)
def test_published_paired_tables(table, p, interval):
    before, after = answers(*table)
    assert statistics.mcnemar_p(before, after) == pytest.approx(p, abs=5e-5)
    assert statistics.bonett_price_interval(table[2], table[1], sum(table)) == pytest.approx(
        interval, abs=5e-5
    )


def test_no_changed_row_still_leaves_doubt():
    before, _, labels = of_classes(2)
    found = statistics.compare(TASKS["SST-2"], before, before.copy(), labels)
    assert found.difference == 0 and found.mcnemar_p == 1.0 and found.agreement == 1.0
    low, high = found.difference_interval
    assert low == pytest.approx(-high) and 0.005 < high < 0.03
    assert found.agreement_interval == [pytest.approx(0.025 ** (1 / ROWS)), 1.0]


def test_compare_classes():
    before, after, labels = of_classes(3)
    found = statistics.compare(with_metric(THREE, "accuracy"), before, after, labels)
    old, new = before.argmax(1), after.argmax(1)
    assert found.metric == pytest.approx((new == labels).mean())
    assert found.difference == pytest.approx((new == labels).mean() - (old == labels).mean())
    assert found.changed_share == pytest.approx((old != new).mean()) and found.changed_share > 0
    discordant = ((old == labels) & (new != labels)).sum(), ((old != labels) & (new == labels)).sum()
    assert found.mcnemar_p == scipy.stats.binomtest(discordant[0], sum(discordant)).pvalue
    report = sklearn.metrics.classification_report(labels, new, output_dict=True, target_names=THREE.labels)
    old_report = sklearn.metrics.classification_report(
        labels, old, output_dict=True, target_names=THREE.labels
    )
    for row in found.per_label:
        assert (row.precision, row.recall, row.support) == pytest.approx(
            tuple(report[row.label][key] for key in ("precision", "recall", "support"))
        )
        assert row.recall_before == pytest.approx(old_report[row.label]["recall"])
    assert np.trace(found.confusion) == (new == labels).sum() and np.sum(found.confusion) == ROWS
    assert found.confusion[0][1] == ((labels == 0) & (new == 1)).sum()


def test_compare_without_labels_measures_agreement():
    before, after, _ = of_classes(2)
    found = statistics.compare(TASKS["SST-2"], before, after)
    same = (before.argmax(1) == after.argmax(1)).sum()
    assert found.metric == found.agreement == same / ROWS
    assert found.interval == list(intervals.exact_interval(int(same), ROWS))
    assert found.difference is found.difference_interval is found.mcnemar_p is None
    assert found.per_label == found.confusion == []


def test_compare_scores():
    before, after, labels = of_scores()
    found = statistics.compare(TASKS["STS-B"], before, after, labels)
    assert found.metric == pytest.approx(scipy.stats.pearsonr(after[:, 0], labels)[0])
    assert found.interval[0] < found.metric < found.interval[1]
    assert found.changed_share == pytest.approx((np.abs(after - before) > 0.25).mean())  # 5 % of 0 to 5
    assert found.mcnemar_p is None and found.per_label == found.confusion == []
    example, *_ = predictions.changed_examples(TASKS["STS-B"], before, after, labels, ["text"] * ROWS)
    row = np.abs(after - before).argmax()
    assert (example.before, example.after) == (f"{before[row, 0]:.2f}", f"{after[row, 0]:.2f}")
    assert example.before_p is example.after_p is None


def test_compare_label_sets():
    before, after, labels = of_label_sets()
    found = statistics.compare(with_metric(SETS, "f1_macro"), before, after, labels)
    assert found.changed_share == pytest.approx(((before > 0) != (after > 0)).any(1).mean())
    precision = sklearn.metrics.precision_score(labels, after > 0, average=None, zero_division=0)
    assert [row.precision for row in found.per_label] == pytest.approx(list(precision))
    example, *_ = predictions.changed_examples(SETS, before, after, labels, ["text"] * ROWS, count=1)
    assert example.before != example.after and 0.5 < example.after_p < 1


def test_compare_tags():
    before, after, labels = of_tags()
    found = statistics.compare(TAGS, before, after, labels)
    known = [true != -100 for true in labels]
    changed = [
        (one.argmax(1) != other.argmax(1))[mask].any()
        for one, other, mask in zip(before, after, known, strict=True)
    ]
    assert found.changed_share == pytest.approx(np.mean(changed))
    assert [row.label for row in found.per_label] == ["LOC", "ORG", "PER"]
    # The types' recalls, weighted by their entities, are the recall of all entities.
    supports = [row.support for row in found.per_label]
    recall = task_metrics(TAGS, after, labels)["eval_entity_recall"]
    assert np.average([row.recall for row in found.per_label], weights=supports) == pytest.approx(recall)
    examples = predictions.changed_examples(TAGS, before, after, labels, [str(i) for i in range(40)])
    assert len(examples) == 10 and all(example.label in TAGS.labels for example in examples)
    assert all(changed[int(example.text)] and example.before != example.after for example in examples)


def test_examples_are_the_most_confident_changes():
    before, after, labels = of_classes(2)
    examples = predictions.changed_examples(
        TASKS["SST-2"], before, after, labels, [str(i) for i in range(ROWS)], count=5
    )
    changed = np.flatnonzero(before.argmax(1) != after.argmax(1))
    odds = np.exp(-np.abs(after[:, 0] - after[:, 1]))
    expected = sorted(changed, key=lambda i: odds[i])[:5]
    assert [int(example.text) for example in examples] == expected
    for example, row in zip(examples, expected, strict=True):
        assert example.after_p == pytest.approx(1 / (1 + odds[row]))
        assert (example.label, example.after) == (str(labels[row]), str(after[row].argmax()))


@pytest.mark.parametrize("name", ["f1", "matthews_correlation"])
def test_a_difference_without_changes_keeps_a_width(name):
    """All resamples are equal; the interval is Bonett and Price's, 1.96 sqrt(2) / (n + 2)."""
    rng, task = np.random.default_rng(0), with_metric(TASKS["MRPC"], name)
    logits, labels = rng.normal(size=(98, 2)), rng.integers(0, 2, 98)
    difference, interval = statistics.paired_difference(task, logits, 2 * logits, labels)
    assert difference == 0 and interval == pytest.approx((-0.027718, 0.027718), abs=1e-5)


@pytest.mark.parametrize("name", ["f1", "f1_macro"])
def test_a_difference_of_one_changed_row_keeps_a_width(name):
    """In no resample is a row lost; Bonett and Price's interval of one gained row of 50 is -4.58 to 8.43."""
    task, labels = with_metric(TASKS["MRPC"], name), np.arange(50) % 2
    after = np.eye(2)[labels]
    before = after.copy()
    before[3] = after[3, ::-1]
    difference, (low, high) = statistics.paired_difference(task, before, after, labels)
    assert low == pytest.approx(difference - 0.02 - 0.0458, abs=1e-4)
    assert high == pytest.approx(difference - 0.02 + 0.0843, abs=1e-4)


def test_scores_far_from_zero_change_by_a_share_of_their_own_range():
    scores = np.array([[70.0], [100.0]])
    assert predictions.score_tolerance(
        TaskSpec("scores", ("text",), output_mode="regression"), scores
    ) == pytest.approx(1.5)


def test_hardly_any_rows():
    task, logits = with_metric(TASKS["MRPC"], "f1"), np.zeros((1, 2))
    found = statistics.compare(task, logits, logits, np.zeros(1, dtype=int))
    assert found.interval == found.difference_interval == [-1, 1]
    with pytest.raises(UserError, match="no rows"):
        statistics.compare(task, logits[:0], logits[:0], np.zeros(0, dtype=int))
