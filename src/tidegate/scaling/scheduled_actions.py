"""Scheduled actions: they give a target other bounds, for good, whatever cooldown there is. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.scaling import ScalableTarget, ScalerState, ScheduledAction
from tidegate.scaling.schedule import parse

MOMENT = timedelta(microseconds=1)
TOLERANCE = timedelta(minutes=5)
"""A clock that is set back by no more does nothing twice and takes nothing back."""


def apply_actions(
    target: ScalableTarget, actions: Sequence[ScheduledAction], state: ScalerState, now: datetime
) -> tuple[ScalableTarget, ScalerState]:
    """The target after every action whose time has come since it was looked at last, in the order of their times.
    After an absence only the last time of each action matters: what it names is set by that, and what gives way to it
    gives way again. Those that come while scheduled scaling is suspended are passed over and not made up for.

    When the clock is set back to before something that was done, the last ones due by the new time hold again."""
    if any(_was_undone(action, state, now) for action in actions):
        state = replace(state, scheduled={})
    due = sorted(
        (time, action.name, action) for action in actions if (time := _last_pending_time(action, state, now))
    )
    for _, name, action in due:
        state = replace(state, scheduled={**state.scheduled, name: now})
        if not target.suspended.scheduled:
            target = _set_bounds(target, action)
    return target, state


def next_time(action: ScheduledAction, now: datetime) -> datetime | None:
    """When it acts next."""
    since = max(now, action.start - MOMENT) if action.start is not None else now
    following = parse(action.schedule, action.timezone).after(since, _anchor(action))
    late = following is not None and action.end is not None and following > action.end
    return None if late else following


def last_time(action: ScheduledAction, since: datetime, until: datetime) -> datetime | None:
    """When it acted last, after ``since`` and not after ``until``."""
    since = max(since, action.start - MOMENT) if action.start is not None else since
    until = min(until, action.end) if action.end is not None else until
    return parse(action.schedule, action.timezone).last(since, until, _anchor(action))


def _last_pending_time(action: ScheduledAction, state: ScalerState, now: datetime) -> datetime | None:
    """The last time that has come and was not looked at yet."""
    looked = state.scheduled.get(action.name, action.created_at)
    return last_time(action, max(looked, action.created_at), now)


def _was_undone(action: ScheduledAction, state: ScalerState, now: datetime) -> bool:
    """Whether it acted at a time that is still to come, by a clock that was set back since."""
    looked = state.scheduled.get(action.name)
    if looked is None or looked - now <= TOLERANCE:
        return False
    return last_time(action, max(now, action.created_at), looked) is not None


def _anchor(action: ScheduledAction) -> datetime:
    """A rate's first time is its start, where it has one, else one span after it was made."""
    if action.start is None:
        return action.created_at
    every = parse(action.schedule, action.timezone).every
    return action.start - every if every is not None else action.start


def _set_bounds(target: ScalableTarget, action: ScheduledAction) -> ScalableTarget:
    """Of two bounds that cross, the one that the action does not name gives way."""
    minimum = target.minimum if action.minimum is None else action.minimum
    maximum = target.maximum if action.maximum is None else action.maximum
    if minimum > maximum:
        minimum, maximum = (maximum, maximum) if action.minimum is None else (minimum, minimum)
    return replace(target, minimum=minimum, maximum=maximum)
