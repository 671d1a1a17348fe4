"""The verdict of a run in two sentences, and the warning about few rows."""

from __future__ import annotations

from ....metrics import AGREEMENT
from .. import report_format as fmt
from .. import statistics
from ..report_data import CandidateResult, Limits, TaskFacts

CHANGED = 0.05  # share of the answers that students change, or more (docs/results.md)
NEXT_STEPS = "give more evaluation rows, a larger --max_drop, or --strict false"


def verdict(
    task: TaskFacts, limits: Limits, model: CandidateResult, chosen: CandidateResult | None, recommended: bool
) -> str:
    """What is recommended or closest, how fast, small and good it is, and which limits it holds."""
    if chosen is None:
        return "No candidate could be measured; the warnings and failures below say why."
    speed = "" if chosen.latency_ratio is None else f"{fmt.times(chosen.latency_ratio)} as fast and "
    gains = f"{speed}{fmt.times(chosen.size_ratio)} smaller"
    if recommended:
        first = f"{chosen.name} ({chosen.how}) is recommended: {gains} than the model in float32"
        return f"{first}; {_quality(task, model, chosen)}. It is within all limits."
    broken = [name for name, held in vars(chosen.within).items() if not held]
    return (
        f"No candidate is within all limits; the closest is {chosen.name} ({chosen.how}), {gains} than the "
        f"model in float32; {_quality(task, model, chosen)}. It breaks the limit on "
        f"{' and '.join(broken)}{_advice(limits, chosen)}."
    )


def in_short(task: TaskFacts, result: CandidateResult) -> str:
    """A candidate on one line of the log."""
    parts = [f"{task.metric.replace('_', ' ')} {fmt.metric(result.metric)}"]
    if result.interval:
        parts[0] += f" (95 %: {fmt.interval(result.interval)})"
    if result.latency_ratio is not None and result.difference is not None:
        parts.append(f"{fmt.points(result.difference)} points")
    if result.latency_ratio is not None:
        parts.append(f"{fmt.times(result.latency_ratio)} as fast")
    parts.append(f"{fmt.quantity(result.size_mb)} MB")
    return f"{result.name}: {', '.join(parts)}"


def _quality(task: TaskFacts, model: CandidateResult, chosen: CandidateResult) -> str:
    rows = f"over {task.rows.report:,} rows"
    if task.metric == AGREEMENT or chosen.difference is None:
        interval = fmt.share_interval(chosen.agreement_interval)
        return f"{fmt.share(chosen.agreement)} of its predictions are the model's ({rows}; 95 %: {interval})"
    interval = fmt.points_interval(chosen.difference_interval)
    return (
        f"its {task.metric.replace('_', ' ')} is {fmt.metric(chosen.metric)}, the model's "
        f"{fmt.metric(model.metric)} ({fmt.points(chosen.difference)} points {rows}; 95 %: {interval})"
    )


def _advice(limits: Limits, chosen: CandidateResult) -> str:
    """What to do where only the width of the interval breaks the limit on quality."""
    if not limits.strict or chosen.within is None or chosen.within.quality:
        return ""
    limit, interval = limits.max_drop, chosen.difference_interval
    if limit is None or chosen.difference is None or interval is None:
        return ""
    if 100 * interval[0] < -limit <= 100 * chosen.difference:
        return f": the measured value is within it, the lower end of the interval is not; {NEXT_STEPS}"
    return ""


def few_rows(task: TaskFacts, limits: Limits) -> str | None:
    """A warning where the interval over the reporting rows is wider than the limit.

    For every candidate, or for one that changes as many answers as students do, without loss.
    """
    if not limits.strict or limits.max_drop is None or task.metric not in statistics.EXACT_METRICS:
        return None
    rows = task.rows.report
    cases = {
        0: "even where no answer changes",
        round(CHANGED * rows / 2): f"where {CHANGED:.0%} of the answers change, half of them for the better,",
    }
    for changed, when in cases.items():
        low, high = statistics.bonett_price_interval(changed, changed, rows)
        if -100 * low > limits.max_drop:
            return (
                f"{rows} reporting rows are few for --max_drop {limits.max_drop:g}: {when} the interval of "
                f"the difference is {fmt.points_interval([low, high])} points; {NEXT_STEPS}"
            )
    return None
