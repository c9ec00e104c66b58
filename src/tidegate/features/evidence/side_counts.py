"""The counts of a fleet in one second, as the comparison of two versions needs them. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from tidegate.domain.metric import FleetSecond, Latency
from tidegate.domain.text_answers import TextAnswer
from tidegate.domain.worker_stats import (
    CLIENT_REPEAT,
    NEGATIVE_PREDICTION,
    PREDICTION,
    REPEATED_LATENCY,
    SESSION_REPEAT,
    UNUSABLE_PREDICTION,
)
from tidegate.features.evidence.comparisons import SideCounts
from tidegate.monitoring import sketch
from tidegate.statistics.distribution import Distribution, merge


def count_side(second: FleetSecond) -> SideCounts:
    """Count a fleet's second. A request fails if it is answered with anything but a status of 2xx, or not at all. Of
    the requests of a session, and of a client who stays on one version, only the first one counts: the others are not
    independent of it, as they stay on its version."""
    series = {one.name: one.values for one in second.series if not one.dimensions}
    requests, failed = second.invocations, max(second.model_errors, second.errors_4xx + second.errors_5xx)
    for name in (SESSION_REPEAT, CLIENT_REPEAT):
        if (repeats := series.get(name)) is not None:
            requests -= int(repeats.count)
            failed -= round(repeats.total)
    requests = max(0, requests)
    unusable = series.get(UNUSABLE_PREDICTION)
    return SideCounts(
        requests=requests,
        failed=min(requests, max(0, failed)),
        latencies=_distribution(_without(second.model_latency, series.get(REPEATED_LATENCY)), 1.0),
        predictions=merge(
            (_distribution(series.get(PREDICTION), 1.0), _distribution(series.get(NEGATIVE_PREDICTION), -1.0))
        ),
        unusable=0 if unusable is None else int(unusable.count),
    )


def _without(whole: Latency | None, part: Latency | None) -> Latency | None:
    """Leave out latencies that are counted in both."""
    if whole is None or part is None:
        return whole
    left = {index: count - part.bins.get(index, 0) for index, count in whole.bins.items()}
    return replace(whole, bins={index: count for index, count in left.items() if count > 0})


def _distribution(values: Latency | None, sign: float) -> Distribution:
    if values is None:
        return Distribution()
    return Distribution.of({sign * sketch.value(index): round(count) for index, count in values.bins.items()})


def round_texts(texts: Iterable[TextAnswer]) -> list[TextAnswer]:
    """Round texts to the accuracy of sketches, so that there are no more different values than of latencies."""
    return [
        replace(
            one,
            tokens=round(_round(one.tokens)),
            given=None if one.given is None else round(_round(one.given)),
            first=_round(one.first),
            speed=None if one.speed is None else _round(one.speed),
        )
        for one in texts
    ]


def _round(value: float) -> float:
    return sketch.value(sketch.index(value))
