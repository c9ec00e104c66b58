"""The rules of the way back: traffic to the old side as far as it can carry it, old capacity up, new capacity
down, until all is as it was. What cannot be brought back in time ends as RollbackFailed and is served as a mix."""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.observation import Event, Observation
from tidegate.domain.rollout import Phase, Stage
from tidegate.domain.traffic import WHOLE
from tidegate.rollout import desired_state, predicates, transitions
from tidegate.rollout.progress import past
from tidegate.rollout.transitions import Move


def rolling_back(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    if rollout.back_stage == len(rollout.back):
        return _removing(endpoint, rollout, seen, now)
    stage = rollout.back[rollout.back_stage]
    if desired_state.new_share(endpoint) > stage.share:
        if _can_carry(endpoint, rollout, seen):
            return _shift(endpoint, rollout, stage, now)
    elif predicates.in_force(endpoint, seen):
        return _onward(endpoint, rollout, now)
    if past(rollout.phase_deadline, now):
        return transitions.rollback_failed(endpoint, _what_is_missing(endpoint, rollout, seen), now)
    return None


def _can_carry(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> bool:
    """What the old side still has goes back at once, as long as something of each variant answers: an old side
    with a replica down is better than a new one known to be bad. What must be launched first has to be ready."""
    assert rollout.old is not None
    if rollout.back_stage == 0:
        return seen.fleets is not None and not predicates.dead(endpoint, rollout.old, seen)
    return predicates.ready(endpoint, rollout.old, rollout.back[rollout.back_stage].old_part, seen)


def _shift(endpoint: Endpoint, rollout: Rollout, stage: Stage, now: datetime) -> Move:
    assert rollout.old is not None
    deadline = now + timedelta(seconds=rollout.plan.shift_timeout)
    shifted = replace(endpoint, rollout=replace(rollout, phase_deadline=deadline))
    text = f"shifting {(WHOLE - stage.share) / 100:g} % of the traffic back to {rollout.old.config_name}"
    event = Event("rollout.ShiftingBack", text, {"rollout": rollout.id, "share": stage.share})
    return desired_state.route(shifted, stage.share), (event,)


def _onward(endpoint: Endpoint, rollout: Rollout, now: datetime) -> Move:
    following = replace(rollout, back_stage=rollout.back_stage + 1)
    plan = rollout.plan
    left = following.back_stage < len(rollout.back)
    return transitions.entered(
        endpoint, following, Phase.ROLLING_BACK, plan.provisioning_timeout if left else plan.drain_timeout, now
    )


def _removing(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Move | None:
    if predicates.gone(endpoint, seen):
        return transitions.rolled_back(endpoint, now)
    if past(rollout.phase_deadline, now):
        ended, events = transitions.rolled_back(endpoint, now)
        return ended, (*events, transitions.left_over(rollout))
    return None


def _what_is_missing(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> str:
    assert rollout.old is not None
    name = rollout.old.config_name
    if failed := predicates.failures(endpoint, rollout.old, seen):
        return f"{name} could not be run again: " + "; ".join(f"variant {v}: {why}" for v, why in failed.items())
    if desired_state.new_share(endpoint) > rollout.back[rollout.back_stage].share:
        return f"{name} was not ready again in time"
    return "traffic was not seen to be back in time"
