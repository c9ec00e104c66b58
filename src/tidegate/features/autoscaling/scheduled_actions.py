"""Scheduled actions: change a target's bounds permanently, regardless of cooldowns. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.scaling import ScalableTarget, ScalerState, ScheduledAction
from tidegate.schedules.schedule import parse

MOMENT = timedelta(microseconds=1)
TOLERANCE = timedelta(minutes=5)
"""A clock that is set back by at most this neither repeats nor undoes an action."""


def apply_actions(
    target: ScalableTarget, actions: Sequence[ScheduledAction], state: ScalerState, now: datetime
) -> tuple[ScalableTarget, ScalerState]:
    """Apply every action that became due since the last call, in the order of their times. After downtime only the
    last time of each action is applied. Actions that are due while scheduled scaling is suspended are skipped for
    good.

    If the clock was set back to before an applied action, the actions last due by the new time are applied again."""
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
    """Next time of the action; None: never again."""
    since = max(now, action.start - MOMENT) if action.start is not None else now
    following = parse(action.schedule, action.timezone).after(since, _anchor(action))
    late = following is not None and action.end is not None and following > action.end
    return None if late else following


def last_time(action: ScheduledAction, since: datetime, until: datetime) -> datetime | None:
    """Last time of the action after ``since`` and not after ``until``."""
    since = max(since, action.start - MOMENT) if action.start is not None else since
    until = min(until, action.end) if action.end is not None else until
    return parse(action.schedule, action.timezone).last(since, until, _anchor(action))


def _last_pending_time(action: ScheduledAction, state: ScalerState, now: datetime) -> datetime | None:
    """Last time that is due and was not processed yet."""
    processed = state.scheduled.get(action.name, action.created_at)
    return last_time(action, max(processed, action.created_at), now)


def _was_undone(action: ScheduledAction, state: ScalerState, now: datetime) -> bool:
    """Whether the action was applied at a time that is in the future again, since the clock was set back."""
    processed = state.scheduled.get(action.name)
    if processed is None or processed - now <= TOLERANCE:
        return False
    return last_time(action, max(now, action.created_at), processed) is not None


def _anchor(action: ScheduledAction) -> datetime:
    """Anchor of the schedule: a rate first acts at its start time if it has one, otherwise one interval after its
    creation."""
    if action.start is None:
        return action.created_at
    every = parse(action.schedule, action.timezone).every
    return action.start - every if every is not None else action.start


def _set_bounds(target: ScalableTarget, action: ScheduledAction) -> ScalableTarget:
    """Set the action's bounds. If minimum and maximum cross, the bound that the action does not set follows."""
    minimum = target.minimum if action.minimum is None else action.minimum
    maximum = target.maximum if action.maximum is None else action.maximum
    if minimum > maximum:
        minimum, maximum = (maximum, maximum) if action.minimum is None else (minimum, minimum)
    return replace(target, minimum=minimum, maximum=maximum)
