"""One to ten times the traffic within ten seconds, by each rule, on a virtual clock: how long requests wait too long.

An instance has 4 requests in hand at one time, 0.1 s each: 40 requests/s. Traffic is Poisson, 20 requests/s for half
an hour, then 200 for half an hour, then 20 for an hour. A request may wait 50 ms for its turn.

python -m bench.scaling_sim [--keep]
"""

import argparse
import random

from bench.tables import show
from tidegate.domain.scaling import (
    CalendarPeak,
    CalendarPolicy,
    Dimension,
    FastPolicy,
    PredefinedMetricType,
    ScalableTarget,
    ScalingPolicy,
    TargetTracking,
)
from tidegate.features.autoscaling.simulation import START, InstanceModel, ScalingRun, ScalingSimulation
from tidegate.simulation.arrivals import draw_arrivals, ramp

OBJECTIVE = 0.05
START_UPS = (1.0, 2.0, 5.0, 30.0)
ROOM = 0.7
"""Of what an instance can take, what it should have."""

FAST = FastPolicy("fast", in_flight=4 * ROOM, queue_time=OBJECTIVE)
PEAK = CalendarPolicy("calendar", (CalendarPeak("peak", "at(2030-01-07T00:30:00)", 1800.0, 8),), margin=5.0)

RULES: dict[str, tuple[int, tuple[ScalingPolicy, ...]]] = {
    "none, one instance": (1, ()),
    "none, ten instances": (10, ()),
    "target tracking, minutes": (1, (TargetTracking("t", 40 * 60 * ROOM, PredefinedMetricType.INVOCATIONS),)),
    "target tracking, 10 seconds": (1, (TargetTracking("t", 4 * ROOM, PredefinedMetricType.CONCURRENT),)),
    "fast": (1, (FAST,)),
    "fast, in flight only": (1, (FAST,)),
    "fast and calendar": (1, (FAST, PEAK)),
}
"""What is ready at first, and the policies."""


def traffic() -> list[float]:
    rates = ramp(20.0, 200.0, before=1800, rise=10, after=1790) + [20.0] * 3600
    return draw_arrivals(rates, random.Random(1).random)


def replayed(rule: str, start_up: float) -> ScalingRun:
    count, policies = RULES[rule]
    target = ScalableTarget("fraud", "AllTraffic", Dimension.INSTANCES, min(count, 10), 12, START)
    return ScalingSimulation(
        target,
        policies,
        traffic(),
        instances=InstanceModel(start_up=start_up),
        count=count,
        objective=OBJECTIVE,
        counted="only" not in rule,
    ).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true")
    keep = parser.parse_args().keep
    rows = []
    for start_up in START_UPS:
        for rule in RULES:
            run = replayed(rule, start_up)
            ready = max(moment.ready for moment in run.moments)
            rows.append(
                (
                    f"{start_up:g}",
                    rule,
                    run.breaches,
                    run.back_after,
                    f"{run.longest_wait:.1f}",
                    f"{run.instance_hours:.1f}",
                    ready,
                    run.changes,
                )
            )
    header = (
        "start-up s",
        "rule",
        "seconds too late",
        "back after s",
        "longest wait s",
        "instance-hours",
        "most ready",
        "changes",
    )
    show(
        "scaling_sim", "1x to 10x within 10 s, simulated (2 hours, 12 instances at most)", header, rows, keep=keep
    )


if __name__ == "__main__":
    main()
