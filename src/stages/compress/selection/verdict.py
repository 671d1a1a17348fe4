"""The verdict of a run in two sentences, and the warning about few rows."""

from __future__ import annotations

import dataclasses

from ....metrics import AGREEMENT
from ...evaluation.intervals import exact_interval
from .. import report_format as fmt
from .. import statistics
from ..report_data import CandidateResult, Limits, TaskFacts
from .limits import within

CHANGED = 0.05  # share of the answers that students change, or more (docs/results.md)
MORE_AGREEMENT = "give more evaluation rows, a smaller --min_agreement, or --strict false"
NEXT_STEPS = "give more evaluation rows, a larger --max_drop, or --strict false"


def verdict(
    task: TaskFacts, limits: Limits, model: CandidateResult, chosen: CandidateResult | None, recommended: bool
) -> str:
    """What is recommended or closest, how fast, small and good it is, and which limits it holds."""
    if chosen is None:
        return "No candidate has been measured; the warnings and failures below say why, if there are any."
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
    """Why the limit on quality is broken where the reported value holds it, and what to do."""
    if chosen.within is None or chosen.within.quality:
        return ""
    if limits.strict and within(chosen, dataclasses.replace(limits, strict=False)).quality:
        without = dataclasses.replace(limits, max_drop=None)
        steps = NEXT_STEPS if within(chosen, without).quality else MORE_AGREEMENT
        return f": the measured quality is within it, the lower end of the interval is not; {steps}"
    if chosen.difference is None and (chosen.choose_metric or 0.0) < (limits.min_agreement or 0.0):
        return f": over the choosing rows the agreement is {fmt.share(chosen.choose_metric)}"
    if chosen.choose_difference is not None and not limits.allow_difference(chosen.choose_difference):
        return f": over the choosing rows the difference is {fmt.points(chosen.choose_difference)} points"
    return ""


def few_rows(task: TaskFacts, limits: Limits) -> str | None:
    """A warning where the interval over the reporting rows is wider than the limit.

    For every candidate, or for one that changes as many answers as students do, without loss. The interval of
    the difference is an accuracy's; those of F1 and of Matthews' correlation are no narrower.
    """
    if not limits.strict:
        return None
    rows = task.rows.report
    if limits.min_agreement is not None:
        low, _ = exact_interval(rows, rows)
        if low < limits.min_agreement:
            return (
                f"{rows} reporting rows are few for --min_agreement {limits.min_agreement:g}: even where no "
                f"answer changes the interval of the agreement begins at {low:.4f}; {MORE_AGREEMENT}"
            )
    if limits.max_drop is None or task.output_mode == "regression":
        return None
    some = f"where {CHANGED:.0%} of the answers change, half of them for the better,"
    for changed, when in ((0, "even where no answer changes"), (round(CHANGED * rows / 2), some)):
        low, high = statistics.bonett_price_interval(changed, changed, rows)
        if -100 * low > limits.max_drop:
            return (
                f"{rows} reporting rows are few for --max_drop {limits.max_drop:g}: {when} the interval of "
                f"the difference is {fmt.points_interval([low, high])} points; {NEXT_STEPS}"
            )
    return None
