"""Ten times the traffic within ten seconds: the real rules of autoscaling on a virtual clock."""

from random import Random
from typing import Any

import msgspec

from tidegate.domain.errors import Invalid
from tidegate.domain.scaling import (
    CalendarPeak,
    CalendarPolicy,
    Dimension,
    FastPolicy,
    Predefined,
    ScalableTarget,
    ScalingPolicy,
    TargetTracking,
)
from tidegate.features.autoscaling.simulation import START, InstanceModel, ScalingRun, ScalingSimulation
from tidegate.testing.arrivals import draw_arrivals, ramp

CALM, FACTOR = 20.0, 10.0
"""Requests a second before the peak, and how many times that in it."""
BEFORE, RISE, PEAK, AFTER = 300, 10, 890, 1_200
"""Seconds."""
MOST = 12
OBJECTIVE = 0.05
"""Seconds that a request may wait for its turn."""
HEADROOM = 0.7
"""Of what an instance can take, what it should have."""
SHOWN_EVERY = 10
"""Seconds between two points of the picture."""
INSTANCE = InstanceModel()
FAST = FastPolicy("fast", in_flight=INSTANCE.slots * HEADROOM, queue_time=OBJECTIVE)
CALENDAR = CalendarPolicy("calendar", (CalendarPeak("peak", "at(2030-01-07T00:05:00)", 900.0, 8),), margin=5.0)
RULES: dict[str, tuple[ScalingPolicy, ...]] = {
    "calendar": (FAST, CALENDAR),
    "fast": (FAST,),
    "tracking": (TargetTracking("tracking", INSTANCE.slots * HEADROOM, Predefined.CONCURRENT),),
    "none": (),
}


class PeakRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``rule`` is one of RULES; ``startup``: seconds until an instance is ready."""

    rule: str = "fast"
    startup: float = 5.0
    seed: int = 1


def demonstrate(asked: PeakRequest) -> dict[str, object]:
    """The peak with the rule, and with one instance that nobody adds to. Raises Invalid."""
    if asked.rule not in RULES:
        raise Invalid(f"rule: {asked.rule[:40]!r} is none of {', '.join(RULES)}")
    if not 0.1 <= asked.startup <= 600:
        raise Invalid(f"startup: {asked.startup:g} s: give 0.1 s to 10 minutes")
    rates = ramp(CALM, CALM * FACTOR, before=BEFORE, rise=RISE, after=PEAK) + [CALM] * AFTER
    trace = draw_arrivals(rates, Random(f"peak {asked.seed}").random)
    runs = {"ruled": _run(RULES[asked.rule], trace, asked.startup), "alone": _run((), trace, asked.startup)}
    largest = max(moment.desired for moment in runs["ruled"].moments)
    return {
        **{name: _told(run) for name, run in runs.items()},
        "arrivals": trace[::SHOWN_EVERY],
        "requests": round(sum(trace)),
        "largest": largest,
        "fixed_hours": round(largest * len(trace) / 3600, 2),
        "step": SHOWN_EVERY,
        "carries": INSTANCE.rate,
        "activities": [
            {"at": round((one.started - START).total_seconds()), "cause": one.cause}
            for one in runs["ruled"].activities
        ],
    }


def _run(policies: tuple[ScalingPolicy, ...], trace: list[float], startup: float) -> ScalingRun:
    target = ScalableTarget("fraud", "AllTraffic", Dimension.INSTANCES, 1, MOST, START)
    instances = InstanceModel(start_up=startup)
    return ScalingSimulation(target, policies, trace, instances=instances, objective=OBJECTIVE).run()


def _told(run: ScalingRun) -> dict[str, Any]:
    late = sum(moment.arrivals for moment in run.moments if moment.wait > run.objective)
    return {
        "breaches": run.breaches,
        "late": round(late),
        "longest": round(run.longest_wait, 2),
        "hours": round(run.instance_hours, 2),
        "desired": [moment.desired for moment in run.moments[::SHOWN_EVERY]],
        "ready": [moment.ready for moment in run.moments[::SHOWN_EVERY]],
        "wait": [round(moment.wait, 3) for moment in run.moments[::SHOWN_EVERY]],
    }
