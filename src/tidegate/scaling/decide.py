"""The machine of one target: pure, like the rollout machine. The caller saves what it returns, then acts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tidegate.model.scaling import (
    Activity,
    ActivityStatus,
    Policy,
    ScalableTarget,
    ScalerState,
    ScaleSeen,
    ScheduledAction,
)


@dataclass(frozen=True)
class Decision:
    """``desired`` differs from what was seen only when the count is to be changed now. ``target`` has new bounds
    after a scheduled action. ``activities`` are those to save: new ones, and the one that ended. ``wake_at`` is the
    next instant at which time alone could change the decision."""

    desired: int
    reason: str
    target: ScalableTarget
    state: ScalerState
    activities: tuple[Activity, ...] = ()
    wake_at: datetime | None = None


def decide(
    target: ScalableTarget,
    policies: Sequence[Policy],
    schedules: Sequence[ScheduledAction],
    state: ScalerState,
    seen: ScaleSeen,
    now: datetime,
    *,
    activity_id: str,
) -> Decision:
    """``activity_id`` names the activity that may begin now; unused ids may be given again."""
    bounded = min(target.maximum, max(target.minimum, seen.desired))
    if seen.busy is not None or bounded == seen.desired:
        return Decision(seen.desired, seen.busy or "inside its bounds", target, state)
    side, bound = ("minimum", target.minimum) if bounded > seen.desired else ("maximum", target.maximum)
    activity = Activity(
        id=activity_id,
        cause=f"{side} capacity was set to {bound}",
        description=f"Setting desired {target.dimension.words} to {bounded}.",
        status=ActivityStatus.IN_PROGRESS,
        started=now,
        before=seen.desired,
        desired=bounded,
    )
    return Decision(bounded, activity.cause, target, replace(state, running=activity), (activity,))
