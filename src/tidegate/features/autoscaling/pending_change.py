"""The change in progress: completed, failed or overridden, with the text of its activity. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.scaling import (
    Activity,
    ActivityStatus,
    Cooldown,
    NotScaledReason,
    ScalableTarget,
    ScalerState,
    ScalingObservation,
)
from tidegate.features.autoscaling.proposals import RefusedProposal

RETRY_DELAY = timedelta(seconds=60)
"""Wait after a failed scale-out."""


def finish_change(
    target: ScalableTarget, state: ScalerState, seen: ScalingObservation, now: datetime
) -> tuple[ScalerState, tuple[Activity, ...]]:
    """End the change in progress if it is complete, failed or overridden. Returns the state and the ended activity.
    Cooldowns start here, when the change is complete."""
    running = state.running
    if running is None:
        return state, ()
    status, message = _conclude(target, running, seen)
    if status is ActivityStatus.IN_PROGRESS:
        return state, ()
    ended = replace(running, status=status, message=message, ended=now)
    failed = status is ActivityStatus.FAILED and running.desired > running.before
    retry_at = now + RETRY_DELAY if failed else None
    cooled = replace(
        state, running=None, out=_start_cooldown(state.out, now), into=_start_cooldown(state.into, now)
    )
    return replace(cooled, retry_at=retry_at), (ended,)


def _conclude(target: ScalableTarget, running: Activity, seen: ScalingObservation) -> tuple[ActivityStatus, str]:
    words = f"{target.dimension.words} to {running.desired}"
    if seen.failure is not None:
        return ActivityStatus.FAILED, f"Failed to set desired {words}. Reason: {seen.failure}"
    if seen.desired != running.desired:
        return ActivityStatus.OVERRIDDEN, f"The {target.dimension.words} was set to {seen.desired} meanwhile."
    if seen.ready is None or (seen.ready != running.desired and not _has_enough(running, seen.ready)):
        return ActivityStatus.IN_PROGRESS, ""
    return (
        ActivityStatus.SUCCESSFUL,
        f"Successfully set desired {words}. Change successfully fulfilled by sagemaker.",
    )


def _has_enough(running: Activity, ready: int) -> bool:
    return ready >= running.desired > running.before


def _start_cooldown(cooldown: Cooldown | None, now: datetime) -> Cooldown | None:
    if cooldown is None or cooldown.until is not None:
        return cooldown
    return replace(cooldown, until=now + timedelta(seconds=cooldown.seconds))


def start_change(
    target: ScalableTarget,
    state: ScalerState,
    seen: ScalingObservation,
    desired: int,
    cause: str,
    id: str,
    now: datetime,
) -> tuple[ScalerState, tuple[Activity, ...]]:
    """Start a change. A change in progress is recorded as overridden."""
    words = target.dimension.words
    activity = Activity(
        id=id,
        cause=cause,
        description=f"Setting desired {words} to {desired}.",
        status=ActivityStatus.IN_PROGRESS,
        started=now,
        message=f"Successfully set desired {words} to {desired}. Waiting for change to be fulfilled by sagemaker.",
        before=seen.desired,
        desired=desired,
    )
    overtaken: tuple[Activity, ...] = ()
    if state.running is not None:
        message = f"Another change set the desired {words} to {desired}."
        overtaken = (replace(state.running, status=ActivityStatus.OVERRIDDEN, message=message, ended=now),)
    return replace(state, running=activity, not_scaled=None), (*overtaken, activity)


def record_refusal(
    target: ScalableTarget,
    state: ScalerState,
    seen: ScalingObservation,
    refusal: RefusedProposal,
    id: str,
    now: datetime,
) -> tuple[ScalerState, tuple[Activity, ...]]:
    """Record a refused proposal once, until the reason changes."""
    reason = NotScaledReason(refusal.code, seen.desired, target.maximum, target.minimum)
    before = state.not_scaled
    if before is not None and (before.cause, before.not_scaled) == (refusal.cause, (reason,)):
        return state, ()
    activity = Activity(
        id=id,
        cause=refusal.cause,
        description="Attempting to scale due to alarm triggered",
        status=ActivityStatus.FAILED,
        started=now,
        ended=now,
        before=seen.desired,
        desired=seen.desired,
        not_scaled=(reason,),
    )
    return replace(state, not_scaled=activity), (activity,)
