"""Which limits a candidate holds, and which candidate is recommended."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..report_data import SLACK, CandidateResult, Limits, Within

SAME_SPEED = 1.05  # ratio of latencies that is noise


def within(result: CandidateResult, limits: Limits) -> Within:
    """Whether a candidate holds each limit.

    A limit on quality holds where the lower end of the 95 % interval over the reporting rows does (not
    strict: the measured value), and the measured value over the choosing rows: the difference, without labels
    the agreement.
    """
    quality = True
    if limits.max_drop is not None and result.difference is not None:
        interval = result.difference_interval or [result.difference]
        worst = interval[0] if limits.strict else result.difference
        quality = limits.allow_difference(min(worst, result.choose_difference or 0.0))
    if limits.min_agreement is not None and result.agreement is not None:
        interval = result.agreement_interval or [result.agreement]
        lowest = interval[0] if limits.strict else result.agreement
        if result.difference is None and result.choose_metric is not None:
            lowest = min(lowest, result.choose_metric)
        quality = quality and lowest >= limits.min_agreement - SLACK
    return Within(
        quality,
        limits.max_latency_ms is None or (result.latency_ms or 0.0) <= limits.max_latency_ms,
        limits.max_size_mb is None or (result.size_mb or 0.0) <= limits.max_size_mb,
    )


def holds(result: CandidateResult) -> bool:
    """Whether a candidate holds all limits."""
    return result.within is not None and all(dataclasses.astuple(result.within))


def recommend(results: Sequence[CandidateResult], prefer: str) -> CandidateResult | None:
    """The fastest (`prefer` size: the smallest) of the candidates within all limits, None without any.

    Of those that are as fast, up to SAME_SPEED, it is the smallest. The first result is the given model,
    which is no candidate of its own.
    """
    held = [result for result in results[1:] if not result.failed and holds(result)]
    if held and prefer == "speed":
        fastest = min(result.latency_ms or 0.0 for result in held)
        held = [result for result in held if (result.latency_ms or 0.0) <= SAME_SPEED * fastest]
    return min(held, key=lambda result: (result.size_mb or 0.0, result.latency_ms or 0.0), default=None)


def closest(results: Sequence[CandidateResult], limits: Limits) -> CandidateResult | None:
    """The candidate that breaks the fewest limits, of these the one that exceeds latency and size the least,
    and of these the one whose metric is the best."""
    tried = [result for result in results[1:] if not result.failed and result.within is not None]

    def rank(result: CandidateResult) -> tuple[int, float, float]:
        assert result.within is not None
        measured = ((result.latency_ms, limits.max_latency_ms), (result.size_mb, limits.max_size_mb))
        excess = sum(max(value / limit, 1.0) for value, limit in measured if value and limit)
        quality = result.agreement if result.metric is None else result.metric
        broken = sum(not held for held in dataclasses.astuple(result.within))
        return broken, excess, -(quality or 0.0)

    return min(tried, key=rank, default=None)
