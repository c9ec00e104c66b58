"""Rules of a rollback: shift to the old version what it can carry, start more of its instances, remove new ones, and
repeat until the old version serves alone. A rollback that misses its deadline ends as RollbackFailed, and a mix of
both versions serves.

Why a rollback begins is decided in ``advance._find_cause``."""

from dataclasses import replace
from datetime import datetime, timedelta

from tidegate.domain.endpoint import Endpoint, Rollout
from tidegate.domain.observation import Event, Observation
from tidegate.domain.rollout import Phase, RolloutStage
from tidegate.domain.traffic import WHOLE
from tidegate.rollout import desired_state, predicates, transitions
from tidegate.rollout.advance import is_past
from tidegate.rollout.transitions import Transition


def roll_back(endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime) -> Transition | None:
    if rollout.back_stage == len(rollout.back):
        return _remove_new_fleets(endpoint, rollout, seen, now)
    stage = rollout.back[rollout.back_stage]
    if desired_state.new_share(endpoint) > stage.share:
        if _can_carry(endpoint, rollout, seen):
            return _shift_back(endpoint, rollout, stage, now)
    elif predicates.is_in_force(endpoint, seen):
        return _finish_batch(endpoint, rollout, now)
    if is_past(rollout.phase_deadline, now):
        return transitions.fail_rollback(endpoint, _describe_failure(endpoint, rollout, seen), now)
    return None


def _can_carry(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> bool:
    """Whether the old version can take the traffic of this stage. Invariant 2: the first stage shifts to the capacity
    that the old version still has, as long as one replica of each variant is ready, since an old version with a
    replica down is better than a new one known to be bad. Later stages wait until the instances that they start are
    ready."""
    assert rollout.old is not None
    if rollout.back_stage == 0:
        return seen.fleets is not None and not predicates.find_dead_variants(endpoint, rollout.old, seen)
    return predicates.is_ready(endpoint, rollout.old, rollout.back[rollout.back_stage].old_part, seen)


def _shift_back(endpoint: Endpoint, rollout: Rollout, stage: RolloutStage, now: datetime) -> Transition:
    assert rollout.old is not None
    deadline = now + timedelta(seconds=rollout.plan.shift_timeout)
    shifted = replace(endpoint, rollout=replace(rollout, phase_deadline=deadline))
    text = f"shifting {(WHOLE - stage.share) / 100:g} % of the traffic back to {rollout.old.config_name}"
    event = Event("rollout.ShiftingBack", text, {"rollout": rollout.id, "share": stage.share})
    return desired_state.route(shifted, stage.share), (event,)


def _finish_batch(endpoint: Endpoint, rollout: Rollout, now: datetime) -> Transition:
    following = replace(rollout, back_stage=rollout.back_stage + 1)
    plan = rollout.plan
    left = following.back_stage < len(rollout.back)
    return transitions.enter_phase(
        endpoint, following, Phase.ROLLING_BACK, plan.provisioning_timeout if left else plan.drain_timeout, now
    )


def _remove_new_fleets(
    endpoint: Endpoint, rollout: Rollout, seen: Observation, now: datetime
) -> Transition | None:
    if predicates.has_only_desired_fleets(endpoint, seen):
        return transitions.finish_rollback(endpoint, now)
    if is_past(rollout.phase_deadline, now):
        ended, events = transitions.finish_rollback(endpoint, now)
        return ended, (*events, transitions.leftover_event(rollout))
    return None


def _describe_failure(endpoint: Endpoint, rollout: Rollout, seen: Observation) -> str:
    assert rollout.old is not None
    name = rollout.old.config_name
    if failed := predicates.failures(endpoint, rollout.old, seen):
        return f"{name} could not be run again: " + "; ".join(f"variant {v}: {why}" for v, why in failed.items())
    if desired_state.new_share(endpoint) > rollout.back[rollout.back_stage].share:
        return f"{name} was not ready again in time"
    return "traffic was not seen to be back in time"
