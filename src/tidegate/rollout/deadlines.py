"""Deadlines that keep their distance when somebody sets the wall clock.

Deadlines are stored as instants of the wall clock. Beside them a mark says how far the wall clock was ahead of one
that never steps. When that distance has changed, every span under way is moved by the change, so that an hour stays
an hour, also across a restart of the controller.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.endpoint import ClockMark, Endpoint
from tidegate.domain.observation import Event

SMALLEST_STEP = 1.0
"""Seconds; less is taken for the slow correction of a clock that runs unevenly."""


def follow_clock(endpoint: Endpoint, mark: ClockMark, now: datetime) -> tuple[Endpoint, tuple[Event, ...]]:
    """The record with its deadlines by the clock as it goes now, and an event where they moved."""
    last = endpoint.clock
    if endpoint.rollout is None and endpoint.scaling is None:
        return endpoint, ()
    if last is None:
        return replace(endpoint, clock=mark), ()
    if last.boot != mark.boot:
        # The machine was started anew: the two clocks cannot be compared, only what is left be bounded.
        return replace(bound_bake(endpoint, now), clock=mark), ()
    step = mark.ahead - last.ahead
    if abs(step) < SMALLEST_STEP:
        return endpoint, ()
    moved = shift_deadlines(endpoint, timedelta(seconds=step))
    text = f"the machine's clock was set by {step:+.0f} s; deadlines were moved with it"
    return replace(moved, clock=mark), (Event("clock.Stepped", text, {"seconds": round(step, 3)}),)


def shift_deadlines(endpoint: Endpoint, by: timedelta) -> Endpoint:
    """The record with every instant that a span under way begins or ends at moved by ``by``."""

    def shifted(instant: datetime | None) -> datetime | None:
        return None if instant is None else instant + by

    rollout, scaling = endpoint.rollout, endpoint.scaling
    if rollout is not None:
        pause = rollout.pause
        rollout = replace(
            rollout,
            phase_since=shifted(rollout.phase_since),
            phase_deadline=shifted(rollout.phase_deadline),
            bake_until=shifted(rollout.bake_until),
            unrouted_since=shifted(rollout.unrouted_since),
            expires_at=shifted(rollout.expires_at),
            pause=None if pause is None else replace(pause, since=pause.since + by),
        )
    if scaling is not None:
        scaling = replace(scaling, since=scaling.since + by, deadline=scaling.deadline + by)
    return replace(endpoint, rollout=rollout, scaling=scaling)


def bound_bake(endpoint: Endpoint, now: datetime) -> Endpoint:
    """The record with no more left of its bake than the stage has in all: a clock that was set back while nobody
    looked must not hold a rollout for longer."""
    rollout = endpoint.rollout
    if rollout is None or rollout.bake_until is None or rollout.pause is not None:
        return endpoint
    most = now + timedelta(seconds=rollout.plan.stages[rollout.stage].bake)
    if rollout.bake_until <= most:
        return endpoint
    return replace(endpoint, rollout=replace(rollout, bake_until=most, phase_since=now))
