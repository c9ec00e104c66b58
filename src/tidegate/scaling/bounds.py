"""Scheduled actions: they give a target other bounds, for good, whatever cooldown there is. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.model.scaling import ScalableTarget, ScalerState, ScheduledAction
from tidegate.scaling.schedule import parse

MOMENT = timedelta(microseconds=1)


def scheduled(
    target: ScalableTarget, actions: Sequence[ScheduledAction], state: ScalerState, now: datetime
) -> tuple[ScalableTarget, ScalerState]:
    """The target after every action whose time has come since it was looked at last, each once, in their order. Those
    that come while scheduled scaling is suspended are passed over and not made up for."""
    due = sorted((time, action.name, action) for action in actions if (time := _last(action, state, now)))
    for _, name, action in due:
        state = replace(state, scheduled={**state.scheduled, name: now})
        if not target.suspended.scheduled:
            target = _bounded(target, action)
    return target, state


def next_time(action: ScheduledAction, now: datetime) -> datetime | None:
    """When it acts next."""
    since = max(now, action.start - MOMENT) if action.start is not None else now
    following = parse(action.schedule, action.timezone).after(since, _anchor(action))
    late = following is not None and action.end is not None and following > action.end
    return None if late else following


def _last(action: ScheduledAction, state: ScalerState, now: datetime) -> datetime | None:
    """The first time that was not looked at yet, when it has come: later ones of the same action change nothing
    more."""
    looked = state.scheduled.get(action.name)
    since = action.created_at if looked is None else max(looked, action.created_at)
    following = next_time(action, since)
    return following if following is not None and following <= now else None


def _anchor(action: ScheduledAction) -> datetime:
    """A rate's first time is its start, where it has one, else one span after it was made."""
    if action.start is None:
        return action.created_at
    every = parse(action.schedule, action.timezone).every
    return action.start - every if every is not None else action.start


def _bounded(target: ScalableTarget, action: ScheduledAction) -> ScalableTarget:
    """Of two bounds that cross, the one that the action does not name gives way."""
    minimum = target.minimum if action.minimum is None else action.minimum
    maximum = target.maximum if action.maximum is None else action.maximum
    if minimum > maximum:
        minimum, maximum = (maximum, maximum) if action.minimum is None else (minimum, minimum)
    return replace(target, minimum=minimum, maximum=maximum)
