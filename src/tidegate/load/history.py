"""The measurements of a replay over time, in as many spans as a chart can show. Plain data."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from tidegate.load.report import LoadReport, Second, merge

MAX_POINTS = 600


@dataclass(frozen=True)
class Point:
    """A span of the replay. ``at`` is seconds from its start; rates are per second; latencies, in milliseconds, count
    from when a request was due. ``instances``: how many took requests at the end of the span."""

    at: int
    rate: float
    answered: float
    refused: float
    throttled: float
    errors: float
    p50_ms: float | None
    p99_ms: float | None
    instances: int | None


def points(report: LoadReport, instances: Mapping[int, int], most: int = MAX_POINTS) -> list[Point]:
    """``instances``: epoch second -> how many there were. A request counts in the span in which it was due, its
    answer in the one in which it arrived; ``errors`` are failed answers other than 503 and 429."""
    if not report.seconds:
        return []
    begin, end = report.seconds[0].at, report.seconds[-1].at
    width = max(1, math.ceil((end - begin + 1) / most))
    spans: dict[int, list[Second]] = {number: [] for number in range((end - begin) // width + 1)}
    for second in report.seconds:
        spans[(second.at - begin) // width].append(second)
    made: list[Point] = []
    known: int | None = None
    for number, seconds in spans.items():
        seen = [
            instances[at] for at in range(begin + number * width, begin + (number + 1) * width) if at in instances
        ]
        known = seen[-1] if seen else known
        made.append(_point(number * width, width, seconds, known))
    return made


def _point(at: int, width: int, seconds: list[Second], instances: int | None) -> Point:
    tally = merge(tally for second in seconds for tally in second.by_config.values())
    refused, throttled = (tally.statuses.get(status, 0) for status in ("503", "429"))
    return Point(
        at=at,
        rate=sum(second.sent for second in seconds) / width,
        answered=(tally.count - tally.failed) / width,
        refused=refused / width,
        throttled=throttled / width,
        errors=(tally.failed - refused - throttled) / width,
        p50_ms=_ms(tally.percentile(50)),
        p99_ms=_ms(tally.percentile(99)),
        instances=instances,
    )


def document(report: LoadReport, instances: Mapping[int, int]) -> dict[str, object]:
    """The whole replay as JSON data."""
    total = report.total
    found = list(instances.values())
    times = [second.at for second in report.seconds]
    busiest = max((second.sent for second in report.seconds), default=0)
    return {
        "sent": report.sent,
        "answered": total.count - total.failed,
        "failed": total.failed,
        "unanswered": report.unanswered,
        "refused": total.statuses.get("503", 0),
        "throttled": total.statuses.get("429", 0),
        "statuses": total.statuses,
        "seconds": times[-1] - times[0] + 1 if times else 0,
        "busiest_second": busiest,
        **{f"p{percent}_ms": _ms(total.percentile(percent)) for percent in (50, 90, 99)},
        "max_ms": _ms(total.percentile(100)),
        "fewest_instances": min(found, default=None),
        "most_instances": max(found, default=None),
        "instance_seconds": sum(found),
        "points": [asdict(point) for point in points(report, instances)],
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
