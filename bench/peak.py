"""One to ten times the load within ten seconds: ``python -m bench.peak [--keep]`` (some four minutes).

Twice on a platform of its own: once autoscaling learns of it from the requests in flight (rule ``fast``), once the
peak is in its calendar. The model takes 20 ms asleep (``bench.slowed``), so one instance answers 50 requests a
second at the most; 30 are asked, then 300. The objective is a p99 of 150 ms, counted each second from when requests
were due. The load falls back to 30 and the instances go: not one request may be lost by that either. The bill is
that of ml.m5.large in us-east-1, with instances as they were and with as many all the time as the peak needs.
"""

import argparse
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bench import slowed, tables
from tidegate.host.platform import Platform
from tidegate.load import LoadGenerator, history
from tidegate.load.history import Point
from tidegate.load.trace import Trace, arrivals
from tidegate.prices.price_catalogue import HOSTING, Catalogue

SERVICE, BASE, PEAK, RAMP, HOLD, TAIL = 0.020, 30.0, 10.0, 10, 30, 45
"""Seconds of one request; requests per second and their multiple; seconds of the way up, of the peak, and after."""
MOST = 12
OBJECTIVE = 150.0
"""Milliseconds of p99."""
SCALING = {"min": 1, "max": MOST, "target": 0.7, "scale_in_after": "15s"}
LOOK_EVERY = 0.5
INSTANCE, REGION = "ml.m5.large", "us-east-1"


@dataclass(frozen=True)
class Seen:
    points: list[Point]
    told: dict[str, Any]
    warm: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    rows = [
        row("by what is in flight", run(20, calendar=False)),
        row("known from the calendar", run(75, calendar=True)),
    ]
    header = [
        "the peak is learnt",
        "requests",
        "failed",
        "s outside",
        "back within s",
        "worst p99 ms",
        "instances",
    ]
    header += ["bill, $", "without autoscaling, $"]
    tables.show("peak", "Ten times the load within ten seconds", header, rows, keep=given.keep)


def shape(warm: int) -> Trace:
    """Requests in each second."""
    up = [BASE * (1 + (PEAK - 1) * (second + 0.5) / RAMP) for second in range(RAMP)]
    counts = [BASE] * warm + up + [BASE * PEAK] * HOLD + [BASE] * TAIL
    return Trace(tuple(float(second) for second in range(len(counts))), tuple(counts))


def run(warm: int, calendar: bool) -> Seen:
    with Platform(environment=slowed.ENVIRONMENT) as platform:
        scaling: dict[str, Any] = dict(SCALING)
        if calendar:
            starts = datetime.now(UTC) + timedelta(seconds=warm)
            peak = {"name": "payday", "starts": f"at({starts:%Y-%m-%dT%H:%M:%S})", "count": MOST - 2}
            scaling["calendar"] = [{**peak, "lasts": f"{RAMP + HOLD}s"}]
        spec = {"endpoint": "fraud", "model": slowed.model(platform, SERVICE), "autoscaling": scaling}
        begun = time.monotonic()
        slowed.deploy(platform, {**spec, "max_in_flight": 2, "queue_time": "10s"})
        warm = max(10, warm - round(time.monotonic() - begun))
        moments = arrivals(shape(warm), seed=1)
        headers = {"Content-Type": "text/csv"}
        generator = LoadGenerator(
            platform.url, "/endpoints/fraud/invocations", b"1", headers, None, connections=512, schedule=moments
        )
        instances: dict[int, int] = {}
        with generator:
            while not generator.exhausted:
                instances[int(time.time())] = slowed.ready(slowed.document(platform, "fraud"))
                time.sleep(LOOK_EVERY)
        report = generator.stop()
        for failure in report.failures[:3]:
            print(failure.status, failure.message[:200])
        return Seen(history.points(report, instances), history.document(report, instances), warm)


def row(name: str, seen: Seen) -> list[object]:
    after = seen.points[seen.warm :]
    outside = [point.at for point in after if point.p99_ms is not None and point.p99_ms > OBJECTIVE]
    ramp = [at for at in outside if at < seen.warm + RAMP + HOLD]
    for point in seen.points:
        print(f"{point.at:4} {point.rate:6.0f}/s  p99 {point.p99_ms or 0:8.1f} ms  {point.instances} instances")
    hourly = Catalogue.load().rate(HOSTING + INSTANCE, REGION).amount
    most, seconds = seen.told["most_instances"], len(seen.points)
    scaled = sum(point.instances or 0 for point in seen.points)
    back = ramp[-1] + 1 - ramp[0] if ramp else 0
    worst = max(point.p99_ms or 0.0 for point in after)
    bills = [f"{hourly * spent / 3600:.4f}" for spent in (scaled, most * seconds)]
    count = f"{seen.told['fewest_instances']} to {most}"
    return [name, seen.told["sent"], seen.told["failed"], len(outside), back, f"{worst:.0f}", count, *bills]


if __name__ == "__main__":
    main()
