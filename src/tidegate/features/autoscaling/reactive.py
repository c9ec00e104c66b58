"""Fast policies: instances needed by the load of the last seconds. Pure.

The need is the number of requests in the model (arrivals x service time, by Little's law) plus what it takes to drain
the queue, divided by the target concurrency per instance. If arrivals are unknown it is the requests in flight; those
grow with the queue, so growth is then relative to the ready instances.

Scale out at once, in bounded steps, when the smoothed need exceeds the count by more than the tolerance. Scale in to
the highest need in the whole window, plus headroom. In between, keep the count.
"""

import math
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.scaling import CapacityNeed, FastMemory, FastPolicy, ScalingObservation, VariantLoad
from tidegate.features.autoscaling.proposals import round_up

SAMPLE_INTERVAL = 0.9
"""Minimum seconds between two samples: a little under one, so that a loop of one second loses none."""
LONGEST_GAP = 10.0
"""Seconds without a sample after which the window restarts: a peak may have been missed."""

SURPRISE_DEVIATIONS = 3.0
TOLERANCE = 0.1
"""Part of the count by which the need may exceed it without a scale-out, since an instance can take more than its
target."""


def update_memory(
    policy: FastPolicy, before: FastMemory | None, seen: ScalingObservation, now: datetime
) -> FastMemory | None:
    """Add a sample to the memory. Unchanged if the load is unknown, or the last sample is too recent."""
    if seen.load is None or seen.ready is None:
        return before
    passed = None if before is None else (now - before.at).total_seconds()
    if before is not None and passed is not None and 0.0 <= passed < SAMPLE_INTERVAL:
        return before
    need = _needed_instances(policy, seen.load, seen.ready)
    if before is None or passed is None or not 0.0 < passed <= LONGEST_GAP:
        return FastMemory(now, now, need, (CapacityNeed(now, need),))
    level = before.level + (need - before.level) * _smoothing_weight(policy, seen.load, before.level, need, passed)
    oldest = now - timedelta(seconds=policy.scale_in_window)
    kept = tuple(n for n in before.highs if n.at > oldest and n.instances > level)
    return replace(before, at=now, level=level, highs=(*kept, CapacityNeed(now, level)))


def next_sample(memory: FastMemory | None, now: datetime) -> datetime:
    """When a look will be counted next: a look that comes too soon after a sample moves it no further away."""
    interval = timedelta(seconds=SAMPLE_INTERVAL)
    due = now + interval if memory is None else memory.at + interval
    return due if now < due <= now + interval else now + interval


def _smoothing_weight(policy: FastPolicy, load: VariantLoad, level: float, need: float, passed: float) -> float:
    """Weight of the new sample: exponential smoothing, or 1 for a rise that chance does not explain (more than 3
    standard deviations of a Poisson count)."""
    counted = load.in_flight if load.arrivals is None else load.arrivals
    if need > level and policy.smoothing > 0:
        usual = counted * level / need
        if counted - usual > SURPRISE_DEVIATIONS * math.sqrt(max(1.0, usual)):
            return 1.0
    return 1.0 - math.exp(-passed / policy.smoothing) if policy.smoothing > 0 else 1.0


def _needed_instances(policy: FastPolicy, load: VariantLoad, ready: int) -> float:
    """Needed instances, as a fraction."""
    if load.arrivals is None or load.service_time is None:
        return load.in_flight / policy.in_flight
    busy = load.arrivals * load.service_time
    waiting = max(0.0, load.in_flight - max(busy, ready * policy.in_flight))
    busy += waiting / policy.drain * load.service_time
    return busy / policy.in_flight


def count(
    policy: FastPolicy, memory: FastMemory | None, seen: ScalingObservation, now: datetime, idle: bool
) -> int:
    """Proposed count. ``idle``: no change is in progress. If the load is unknown, the present count."""
    if memory is None or memory.at != now or seen.load is None or seen.ready is None:
        return seen.desired
    more = _scale_out_count(policy, memory, seen, now, idle)
    if more > seen.desired:
        return more
    fewer = round_up(max(need.instances for need in memory.highs) * (1 + policy.band))
    whole_window = (now - memory.since).total_seconds() >= policy.scale_in_window
    if policy.disable_scale_in or not idle or not whole_window:
        return seen.desired
    return min(fewer, seen.desired)


def _scale_out_count(
    policy: FastPolicy, memory: FastMemory, seen: ScalingObservation, now: datetime, idle: bool
) -> int:
    if memory.grown_at is not None and 0.0 <= (now - memory.grown_at).total_seconds() < policy.scale_out_cooldown:
        return seen.desired
    assert seen.load is not None and seen.ready is not None
    wanted = round_up(memory.level) if memory.level > (1 + TOLERANCE) * seen.desired else seen.desired
    waits = seen.load.queue_time
    if policy.queue_time is not None and waits is not None and waits > policy.queue_time and idle:
        wanted = max(wanted, seen.desired + 1)
    known = seen.load.arrivals is not None and seen.load.service_time is not None
    start = seen.desired if known else seen.ready
    return min(wanted, max(start + 1, math.floor(start * policy.growth)))
