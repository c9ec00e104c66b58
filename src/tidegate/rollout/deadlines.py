"""Keep deadlines right when somebody sets the wall clock.

Deadlines are stored as wall-clock times, together with the offset between the wall clock and a clock that never
steps. When that offset changes, every deadline of a span under way is moved by the change: an hour stays an hour,
also across a restart of the controller.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.endpoint import ClockMark, Endpoint
from tidegate.domain.observation import Event

SMALLEST_STEP = 1.0
"""Seconds; a smaller change is gradual clock correction (NTP slew) and is ignored."""


def follow_clock(endpoint: Endpoint, mark: ClockMark, now: datetime) -> tuple[Endpoint, tuple[Event, ...]]:
    """Return the record with its deadlines moved to the present wall clock, and an event if they moved."""
    last = endpoint.clock
    if endpoint.rollout is None and endpoint.scaling is None:
        return endpoint, ()
    if last is None:
        return replace(endpoint, clock=mark), ()
    if last.boot != mark.boot:
        # The machine was rebooted: offsets to different boots cannot be compared, so only limit what is left.
        return replace(bound_bake(endpoint, now), clock=mark), ()
    step = mark.ahead - last.ahead
    if abs(step) < SMALLEST_STEP:
        return endpoint, ()
    moved = shift_deadlines(endpoint, timedelta(seconds=step))
    text = f"the machine's clock was set by {step:+.0f} s; deadlines were moved with it"
    return replace(moved, clock=mark), (Event("clock.Stepped", text, {"seconds": round(step, 3)}),)


def shift_deadlines(endpoint: Endpoint, by: timedelta) -> Endpoint:
    """Return the record with the start and end of every span under way moved by ``by``."""

    def shift(instant: datetime | None) -> datetime | None:
        return None if instant is None else instant + by

    rollout, scaling = endpoint.rollout, endpoint.scaling
    if rollout is not None:
        pause = rollout.pause
        rollout = replace(
            rollout,
            phase_since=shift(rollout.phase_since),
            phase_deadline=shift(rollout.phase_deadline),
            bake_until=shift(rollout.bake_until),
            unrouted_since=shift(rollout.unrouted_since),
            expires_at=shift(rollout.expires_at),
            pause=None if pause is None else replace(pause, since=pause.since + by),
        )
    if scaling is not None:
        scaling = replace(scaling, since=scaling.since + by, deadline=scaling.deadline + by)
    return replace(endpoint, rollout=rollout, scaling=scaling)


def bound_bake(endpoint: Endpoint, now: datetime) -> Endpoint:
    """Limit what is left of the bake to the length of the stage's bake: a clock that was set back while no controller
    ran must not hold the rollout for longer."""
    rollout = endpoint.rollout
    if rollout is None or rollout.bake_until is None or rollout.pause is not None:
        return endpoint
    most = now + timedelta(seconds=rollout.plan.stages[rollout.stage].bake)
    if rollout.bake_until <= most:
        return endpoint
    return replace(endpoint, rollout=replace(rollout, bake_until=most, phase_since=now))
